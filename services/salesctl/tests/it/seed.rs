//! `salesctl seed` adds sample orders.

use std::collections::BTreeMap;

use serde_json::Value;
use system_tests::{System, answer, salesctl};
use test_kit::{World, eventually, read_all};

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
    let seed = ["seed", "--yes"];
    assert_eq!(answer(world, &["seed"]).await["added"], false);
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
    let again = salesctl(world, &seed).await.succeeded();
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
    let report = salesctl(&world, &["seed", "--yes", "--wait", "0"]).await.failed(1);
    assert!(report.contains("outbox-relay") && report.contains("status-consumer"), "{report}");
    // The orders are stored, and `verify` finds no violation.
    assert_eq!(answer(&world, &["verify"]).await["orders"]["accepted"], 51);

    let delivery = world.database.url();
    world.set("DELIVERY_DATABASE_URL", delivery);
    let report = salesctl(&world, &["seed"]).await.failed(2);
    assert!(report.contains("DELIVERY_DATABASE_URL"), "{report}");
}
