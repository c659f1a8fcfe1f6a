//! The documents and the deployment files match the code.

use std::collections::BTreeSet;
use std::fs;

use contracts::catalogue::{self, CONTRACTS, async_api};
use contracts::topics::Names;
use serde_yaml_ng::Value;
use system_tests::path;

use crate::configuration;

fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap()
}

#[test]
fn compose_passes_on_every_setting_of_a_service_and_no_other() {
    let mut compose: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    // Merge keys are nested two levels deep.
    compose.apply_merge().unwrap();
    compose.apply_merge().unwrap();
    // Settings of the image or of one instance, and names that all containers leave at the default.
    let left_out = [
        "HOST",
        "PORT",
        "MANAGEMENT_PORT",
        "CONSUMER_INSTANCE",
        "OTEL_SERVICE_NAME",
        "ORDER_EVENTS_TOPIC",
        "DELIVERY_EVENTS_TOPIC",
        "DEAD_LETTERS_TOPIC",
        "DELIVERY_GROUP",
        "STATUS_GROUP",
    ];
    for (service, settings) in configuration::services() {
        let read: BTreeSet<&str> = settings
            .iter()
            .map(|setting| setting.variable.as_str())
            .filter(|variable| !left_out.contains(variable))
            .collect();
        let environment = compose["services"][service]["environment"].as_mapping().unwrap();
        let passed_on: BTreeSet<&str> = environment.keys().filter_map(Value::as_str).collect();
        assert_eq!(passed_on, read, "{service}");
    }
}

#[test]
fn owners_may_simulate_deliveries_in_the_local_systems_and_not_in_production() {
    let mut compose: Value = serde_yaml_ng::from_str(&read("docker-compose.yml")).unwrap();
    compose.apply_merge().unwrap();
    let setting = &compose["services"]["sales-api"]["environment"]["SIMULATE_DELIVERY"];
    assert_eq!(setting, "${SIMULATE_DELIVERY:-owner}");

    let services = read("deploy/local/services");
    assert!(services.contains("export SIMULATE_DELIVERY=${SIMULATE_DELIVERY:-owner}"));

    let local = read("deploy/kubernetes/overlays/local/environment/kustomization.yaml");
    assert!(local.lines().any(|line| line.trim() == "- SIMULATE_DELIVERY=owner"), "{local}");
    let production = read("deploy/kubernetes/overlays/production/environment/kustomization.yaml");
    assert!(!production.contains("SIMULATE_DELIVERY"), "{production}");
}

#[test]
fn the_examples_of_events_are_the_golden_records() {
    let document = read("docs/EVENTS.md");
    for contract in CONTRACTS {
        let (event_type, example) = (contract.event_type, contract.example);
        let newest = catalogue::find(event_type, None) == Ok(contract);
        let option =
            if newest { String::new() } else { format!(" --version {}", contract.version) };
        let shown = format!(
            "contracts example {event_type}{option}\n```\n\n```\n{}\n{}\n```",
            example.headers, example.value
        );
        assert!(document.contains(&shown), "the example of {event_type} should be:\n{shown}");
    }
}

#[test]
fn the_documented_topics_match_the_code() {
    let document = read("docs/EVENTS.md");
    for topic in Names::default().specs() {
        let (name, partitions) = (topic.name, topic.partitions);
        let days = topic.retention.as_secs() / 86_400;
        let row = format!("| `{name}` | {partitions} | {days} days |");
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn the_document_names_every_header() {
    let document = read("docs/EVENTS.md");
    let described = async_api::bundled().unwrap();
    for headers in ["cloudEventHeaders", "deadLetterHeaders"] {
        let headers = &described["components"]["schemas"][headers];
        let required = headers["required"].as_array().unwrap();
        for (name, _) in headers["properties"].as_object().unwrap() {
            let presence =
                if required.contains(&name.as_str().into()) { "always" } else { "optional" };
            let row = format!("| `{name}` | {presence} |");
            assert!(document.contains(&row), "{row}");
        }
    }
}
