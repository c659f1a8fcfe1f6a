//! Alerts, dashboards and the operator's table use existing metrics only, and the services expose
//! exactly these metrics.

mod exposed;
mod moving;
mod promql;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use service_kit::telemetry::metrics::catalogue::CATALOGUE;

use crate::configuration;

fn file(path: &str) -> PathBuf {
    system_tests::path(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap()
}

/// Reads YAML as JSON. The files use no other YAML features.
fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&read(path)).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} of {value}"))
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn alerts() -> Vec<Value> {
    let rules = yaml("deploy/observability/prometheus/rules/sales.yml");
    list(&rules, "/groups").iter().flat_map(|group| list(group, "/rules").to_vec()).collect()
}

/// The anchors of a document's headings, as GitHub generates them.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = document.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let text: String = heading.trim_start_matches('#').trim().chars().filter(kept).collect();
        text.to_lowercase().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

#[test]
fn every_alert_uses_existing_metrics() {
    let alerts = alerts();
    assert!(alerts.len() >= 10);
    for alert in &alerts {
        promql::check(text(alert, "/expr"));
    }
}

#[test]
fn every_dashboard_query_uses_existing_metrics() {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/observability/grafana/dashboards/sales.json")).unwrap();
    let panels = list(&dashboard, "/panels");
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| list(panel, "/targets"))
        .map(|target| text(target, "/expr"))
        .collect();
    assert!(queries.len() > 50);
    let mut in_queries = BTreeSet::new();
    for query in queries {
        in_queries.extend(promql::check(query));
    }
    for variable in list(&dashboard, "/templating/list") {
        let query = text(variable, "/query/query");
        let inner = query.strip_prefix("label_values(").and_then(|it| it.split_once(',')).unwrap();
        promql::check(inner.0);
    }
    // A new metric must get a panel, or an entry in this list.
    let not_queried: Vec<&str> =
        CATALOGUE.iter().map(|it| it.name).filter(|it| !in_queries.contains(*it)).collect();
    assert_eq!(
        not_queried,
        [
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
            "process_threads",
            "tokio_workers",
        ]
    );
}

#[test]
fn the_dashboard_has_a_row_for_each_service_and_finds_its_data_source() {
    let dashboard: Value =
        serde_json::from_str(&read("deploy/observability/grafana/dashboards/sales.json")).unwrap();
    let panels = list(&dashboard, "/panels");
    let rows: Vec<&str> =
        panels.iter().filter(|it| it["type"] == "row").map(|it| text(it, "/title")).collect();
    for service in ["sales-api", "outbox-relay", "delivery-service", "status-consumer"] {
        assert!(rows.contains(&service), "{service}");
    }
    let sources = yaml("deploy/observability/grafana/provisioning/datasources/prometheus.yml");
    let uid = text(&sources, "/datasources/0/uid");
    for panel in panels.iter().filter(|it| it["type"] != "row") {
        assert_eq!(text(panel, "/datasource/uid"), uid, "{}", panel["title"]);
        assert!(!list(panel, "/targets").is_empty(), "{}", panel["title"]);
    }
}

#[test]
fn every_alert_has_a_runbook_and_a_severity() {
    let anchors = anchors(&read("docs/OPERATIONS.md"));
    for alert in alerts() {
        let name = text(&alert, "/alert");
        let (document, anchor) = text(&alert, "/annotations/runbook").split_once('#').unwrap();
        assert_eq!((document, anchor), ("docs/OPERATIONS.md", &*name.to_lowercase()));
        assert!(anchors.contains(anchor), "there is no runbook for {name}");
        assert!(["critical", "warning"].contains(&text(&alert, "/labels/severity")), "{name}");
        for annotation in ["/annotations/summary", "/annotations/description"] {
            assert!(!text(&alert, annotation).is_empty(), "{name}");
        }
    }
}

#[test]
fn every_alert_is_tested_to_fire_and_to_be_silent() {
    let tests = yaml("deploy/observability/prometheus/tests/sales.yml");
    let expectations: Vec<(&str, bool)> = list(&tests, "/tests")
        .iter()
        .flat_map(|test| list(test, "/alert_rule_test"))
        .map(|it| (text(it, "/alertname"), !list(it, "/exp_alerts").is_empty()))
        .collect();
    for alert in alerts() {
        let name = text(&alert, "/alert");
        for fires in [true, false] {
            assert!(expectations.contains(&(name, fires)), "{name}, fires: {fires}");
        }
    }
}

#[test]
fn prometheus_scrapes_every_service_by_its_name_in_compose() {
    let config = yaml("deploy/observability/prometheus/prometheus.yml");
    let compose = yaml("docker-compose.yml");
    for service in service_kit::telemetry::metrics::catalogue::ALL {
        let jobs = list(&config, "/scrape_configs");
        let job = jobs.iter().find(|it| it["job_name"] == *service).expect(service);
        assert_eq!(text(job, "/dns_sd_configs/0/names/0"), *service);
        assert!(compose["services"][service].is_object(), "{service}");
        let port = job["dns_sd_configs"][0]["port"].as_u64().unwrap();
        let services = configuration::services();
        let (_, settings) = services.iter().find(|(name, _)| name == service).expect(service);
        let setting = settings.iter().find(|it| it.variable == "MANAGEMENT_PORT").unwrap();
        assert_eq!(setting.default, Some(port.to_string()), "{service}");
    }
}

#[test]
fn the_operators_table_names_every_metric_and_no_other() {
    let document = read("docs/OPERATIONS.md");
    let (_, table) = document.split_once("\n## Metrics\n").unwrap();
    let table = table.split("\n## ").next().unwrap();
    let documented: BTreeSet<String> = table
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    let known: BTreeSet<String> = CATALOGUE
        .iter()
        .map(|metric| {
            let labels: Vec<&str> = metric.labels.iter().map(|(name, _)| *name).collect();
            let labels = labels.join(",");
            if labels.is_empty() {
                metric.name.into()
            } else {
                format!("{}{{{labels}}}", metric.name)
            }
        })
        .collect();
    let differing: Vec<&String> = documented.symmetric_difference(&known).collect();
    assert!(differing.is_empty(), "{differing:#?}");
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
}

#[test]
fn the_runbook_explains_every_class_of_dead_letter_that_is_counted() {
    let document = read("docs/OPERATIONS.md");
    let metric = CATALOGUE.iter().find(|it| it.name == "consumer_dead_letters_total").unwrap();
    let (_, classes) = metric.labels.iter().find(|(name, _)| *name == "class").unwrap();
    assert!(!classes.is_empty());
    for class in *classes {
        assert!(document.contains(&format!("`{class}`")), "{class}");
    }
}
