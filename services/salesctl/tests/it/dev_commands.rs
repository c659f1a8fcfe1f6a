//! Commands for developers: make targets and sample orders.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use test_kit::{World, eventually, read_all};

use crate::system::{System, answer, salesctl};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn make(arguments: &[&str]) -> Output {
    Command::new("make").args(arguments).current_dir(root()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn running_an_unknown_service_fails_and_lists_the_services() {
    for arguments in [&["run", "SERVICE=nonsense"][..], &["run"], &["run", "SERVICE=sales-api x"]] {
        let output = make(arguments);
        let report = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        let services = "inventory-mock sales-api outbox-relay delivery-service status-consumer";
        assert!(report.contains(services), "{arguments:?}: {report}");
        assert_eq!(text(&output.stdout), "", "nothing is built or started");
    }
}

#[test]
fn every_target_has_a_line_in_the_help_and_in_the_document() {
    let help = text(&make(&["help"]).stdout);
    let listed: BTreeSet<String> = help
        .lines()
        .filter_map(|line| line.strip_prefix("  make ")?.split(' ').next().map(str::to_owned))
        .collect();
    let document = std::fs::read_to_string(root().join("docs/DEVELOPMENT.md")).unwrap();
    let documented: BTreeSet<String> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| `make ")?.split_once("` |"))
        .map(|(target, _)| target.to_owned())
        .collect();
    assert_eq!(documented, listed);
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<String> = makefile
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(": ").or(line.split_once(':')))
        .filter(|(target, _)| !target.contains([' ', '=']) && *target != "prerequisites")
        .map(|(target, _)| target.to_owned())
        .collect();
    assert_eq!(listed, targets);
}

async fn statuses(world: &World) -> BTreeMap<&'static str, i64> {
    let mut counts = BTreeMap::new();
    for status in ["Pending Shipment", "Shipped", "Delivered"] {
        let query = format!("SELECT count(*) FROM sales.orders WHERE status = '{status}'");
        counts.insert(status, world.database.count(&query).await);
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn sample_orders_cover_every_status_and_pass_verify() {
    let system = System::start().await;
    let world = &system.world;
    let seed = ["seed", "--sample", "--yes"];
    assert_eq!(answer(world, &["seed", "--sample"]).await["added"], false);
    assert_eq!(world.database.count("SELECT count(*) FROM sales.orders").await, 0);

    let services = [system.start_relay(), system.start_status()];
    assert_eq!(answer(world, &seed).await["sample"], 51);
    let expected = BTreeMap::from([("Pending Shipment", 17), ("Shipped", 17), ("Delivered", 17)]);
    assert_eq!(statuses(world).await, expected);
    assert_eq!(read_all(&world.stack, &world.topics.order_events).await.len(), 51);
    assert_eq!(read_all(&world.stack, &world.topics.delivery_events).await.len(), 51);
    let report = answer(world, &["verify"]).await;
    assert_eq!(report["orders"]["accepted"], 51, "{report:#}");

    // A second run adds nothing.
    let again = text(&salesctl(world, &seed).await.stdout);
    assert_eq!(again, "0 sample orders: all 51 already exist\n");

    // delivery-service reads every order and changes none.
    let delivery = system.start_delivery();
    eventually("delivery-service has read the orders", async || {
        let topics = answer(world, &["topics", "list"]).await;
        lag(&topics, &world.topics.delivery_group).filter(|lag| *lag == 0)
    })
    .await;
    assert_eq!(statuses(world).await, expected);
    assert_eq!(answer(world, &["verify"]).await["orders"]["accepted"], 51);
    for service in services.into_iter().chain([delivery]) {
        service.stop().await;
    }
}

/// The records that the group has not read; `None` before its first commit.
fn lag(topics: &Value, group: &str) -> Option<i64> {
    let groups = topics.as_array()?.iter().filter_map(|topic| topic["groups"].as_array());
    groups.flatten().find(|it| it["group"] == group)?["lag"].as_i64()
}

#[tokio::test(flavor = "multi_thread")]
async fn unpublished_sample_orders_report_the_services_to_start() {
    let mut world = World::create().await;
    let output = salesctl(&world, &["seed", "--sample", "--yes", "--wait", "0"]).await;
    let report = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("outbox-relay") && report.contains("status-consumer"), "{report}");
    // The orders are stored, and `verify` finds no violation.
    assert_eq!(answer(&world, &["verify"]).await["orders"]["accepted"], 51);

    let delivery = world.database.url();
    world.set("DELIVERY_DATABASE_URL", delivery);
    let refused = salesctl(&world, &["seed", "--sample"]).await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("DELIVERY_DATABASE_URL"));
}
