//! What each service shows when it has done nothing yet is what the catalogue says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::future::join_all;
use service_kit::metrics::catalogue::{ALL, CATALOGUE, Kind, Metric};
use test_kit::{Process, World, eventually, metrics};

/// Name and kind, with the labels that any series of it has.
type Shown = BTreeMap<String, (String, BTreeSet<String>)>;

#[tokio::test(flavor = "multi_thread")]
async fn every_service_shows_what_the_catalogue_says_before_anything_has_happened() {
    let world = World::create().await;
    join_all(ALL.iter().map(|service| shows_its_part(service, &world))).await;
}

/// A process of its own each: what runs together shows its metrics together.
async fn shows_its_part(service: &str, world: &World) {
    let binary = Path::new(env!("CARGO_BIN_EXE_salesctl")).with_file_name(service);
    let process = Process::start(binary.to_str().unwrap(), world).await;
    let expected = expected(service);
    // Some of it comes with the first word of the broker, a second later.
    let mut last = String::new();
    eventually(&format!("{service} shows everything"), async || {
        let shown = shown(&metrics(process.management_port()).await);
        let differing = differing(&expected, &shown);
        if differing != last {
            eprintln!("{service}: {differing}");
            last.clone_from(&differing);
        }
        differing.is_empty().then_some(())
    })
    .await;
}

/// What other systems than Linux don't say of a process is not asked for there; nor, without certificates, their last days.
fn expected(service: &str) -> Shown {
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

/// Reads Prometheus' text format, and insists on a help text for each metric.
fn shown(text: &str) -> Shown {
    let mut shown = Shown::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help text");
            shown.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.is_empty() && !line.starts_with('#') {
            let (name, labels) = series(line);
            let metric = ["", "_bucket", "_sum", "_count"]
                .iter()
                .find_map(|part| shown.get_key_value(name.strip_suffix(part)?))
                .map(|(metric, _)| metric.clone());
            let metric = metric.unwrap_or_else(|| panic!("{name} has no type"));
            shown.get_mut(&metric).unwrap().1.extend(labels);
        }
    }
    shown
}

/// Name and labels of a line; `le` is no label of ours.
fn series(line: &str) -> (&str, Vec<String>) {
    let Some((name, rest)) = line.split_once('{') else {
        return (line.split(' ').next().unwrap(), Vec::new());
    };
    let labels = rest.rsplit_once('}').unwrap().0;
    let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
    (name, names.filter(|label| label != "le").collect())
}

fn differing(expected: &Shown, shown: &Shown) -> String {
    let missing = expected.iter().filter(|(name, kind)| shown.get(*name) != Some(*kind));
    let unknown = shown.keys().filter(|name| !expected.contains_key(*name));
    let missing = missing.map(|(name, kind)| format!("expected {name} {kind:?}"));
    missing.chain(unknown.map(|name| format!("unknown {name}"))).collect::<Vec<_>>().join(", ")
}
