//! At startup, each service exposes exactly the metrics of the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use service_kit::telemetry::metrics::catalogue::{ALL, CATALOGUE, Kind, Metric};
use test_kit::{Process, World, eventually, metrics};

/// Metrics by name, each with its kind and the labels of all its series.
type Exposed = BTreeMap<String, (String, BTreeSet<String>)>;

#[tokio::test(flavor = "multi_thread")]
async fn every_service_exposes_its_catalogue_metrics_at_startup() {
    let world = World::create().await;
    join_all(ALL.iter().map(|service| check_exposed_metrics(service, &world))).await;
}

/// Runs the service in its own process, because services in one process share a metrics recorder.
async fn check_exposed_metrics(service: &str, world: &World) {
    let process = Process::start(service, world).await;
    let expected = expected(service);
    // Some metrics appear with the first statistics of the Kafka client, a second later.
    let mut last = String::new();
    eventually(&format!("{service} exposes all metrics"), async || {
        let exposed = exposed(&metrics(process.management_port()).await);
        let differing = differing(&expected, &exposed);
        if differing != last {
            eprintln!("{service}: {differing}");
            last.clone_from(&differing);
        }
        differing.is_empty().then_some(())
    })
    .await;
}

/// The metrics of a service in the catalogue, without those that only Linux reports (on other
/// systems) and without the certificate metric, because no certificate is configured.
fn expected(service: &str) -> Exposed {
    let of_service = CATALOGUE.iter().filter(|it| it.services.contains(&service));
    of_service
        .filter(|it| cfg!(target_os = "linux") || it.name != "process_virtual_memory_max_bytes")
        .filter(|it| it.name != "certificate_remaining_days")
        .map(|Metric { name, kind, labels, .. }| {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let labels = labels.iter().map(|(name, _)| (*name).to_owned()).collect();
            ((*name).to_owned(), (kind.to_owned(), labels))
        })
        .collect()
}

/// Parses the Prometheus text format. Panics if a metric has no help text.
fn exposed(text: &str) -> Exposed {
    let mut exposed = Exposed::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help text");
            exposed.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.is_empty() && !line.starts_with('#') {
            let (name, labels) = series(line);
            let metric = ["", "_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| exposed.get_key_value(name.strip_suffix(part)?))
                .map(|(metric, _)| metric.clone());
            let metric = metric.unwrap_or_else(|| panic!("{name} has no type"));
            exposed.get_mut(&metric).unwrap().1.extend(labels);
        }
    }
    exposed
}

/// The name and the labels of a line, without the histogram label `le`.
fn series(line: &str) -> (&str, Vec<String>) {
    let Some((name, rest)) = line.split_once('{') else {
        return (line.split(' ').next().unwrap(), Vec::new());
    };
    let labels = rest.rsplit_once('}').unwrap().0;
    let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
    (name, names.filter(|label| label != "le").collect())
}

fn differing(expected: &Exposed, exposed: &Exposed) -> String {
    let missing = expected.iter().filter(|(name, kind)| exposed.get(*name) != Some(*kind));
    let unknown = exposed.keys().filter(|name| !expected.contains_key(*name));
    let missing = missing.map(|(name, kind)| format!("expected {name} {kind:?}"));
    missing.chain(unknown.map(|name| format!("unknown {name}"))).collect::<Vec<_>>().join(", ")
}
