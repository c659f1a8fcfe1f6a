//! Topics that have lost events are made whole again from the database.

use std::collections::BTreeSet;

use domain::DeliveryStep;
use messaging::Record;
use serde_json::Value;
use test_kit::{World, delete_topic, eventually, read_all};

use crate::system::{Ongoing, System, answer, salesctl};
use crate::verify::{accepted, any_order, delivered, report_step, verify};

const TYPES: [&str; 3] = ["order.created", "order.shipped", "order.delivered"];

/// How many events of each type a repair finds missing.
fn missing(report: &Value) -> [u64; 3] {
    TYPES.map(|event_type| {
        let all = report["missing"].as_array().unwrap();
        let of_type = all.iter().find(|it| it["type"] == event_type);
        of_type.unwrap_or_else(|| panic!("{report:#}"))["count"].as_u64().unwrap()
    })
}

/// What makes an event the same event, wherever it is and however often.
fn identity(record: &Record) -> [String; 7] {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let [id, kind, time, source, subject] =
        ["ce_id", "ce_type", "ce_time", "ce_source", "ce_subject"]
            .map(|it| text(record.header(it)));
    let [key, value] = [&record.key, &record.value].map(|it| text(it.as_deref()));
    [key, value, id, kind, time, source, subject]
}

/// The events in both topics, each once.
async fn events(world: &World) -> BTreeSet<[String; 7]> {
    let mut all = BTreeSet::new();
    for topic in [&world.topics.order_events, &world.topics.delivery_events] {
        all.extend(read_all(&world.stack, topic).await.iter().map(identity));
    }
    all
}

/// Kafka comes back empty.
async fn lose(world: &World, topics: &[&str]) {
    for topic in topics {
        delete_topic(&world.stack, topic).await;
    }
    let made = salesctl(world, &["topics", "create"]).await;
    assert!(made.status.success(), "{made:?}");
}

async fn until(world: &World, what: &str, count: &str, wanted: i64) {
    eventually(what, async || (world.database.count(count).await == wanted).then_some(())).await;
}

const IN_OUTBOX: &str = "SELECT count(*) FROM sales.outbox_events";
const UNDELIVERED: &str = "SELECT count(*) FROM sales.orders WHERE status <> 'Delivered'";

#[tokio::test(flavor = "multi_thread")]
async fn lost_topics_are_rebuilt_with_the_same_events_and_every_order_goes_on() {
    let system = delivered(2).await;
    let world = &system.world;
    // One that delivery-service has delivered, and status-consumer has heard nothing of.
    let (relay, delivery) = (system.start_relay(), system.start_delivery());
    accepted(&system).await;
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    until(world, "it is reported", done, 3).await;
    delivery.stop().await;
    // One that delivery-service has not heard of.
    accepted(&system).await;
    until(world, "it is published", IN_OUTBOX, 0).await;
    relay.stop().await;
    let before = events(world).await;
    assert_eq!(before.len(), 4 + 3 * 2);

    lose(world, &[&world.topics.order_events, &world.topics.delivery_events]).await;
    assert_eq!(verify(world, &[]).await.0, 3);
    let plan = answer(world, &["repair"]).await;
    assert_eq!((missing(&plan), &plan["published"]), ([4, 3, 3], &Value::from(0)));
    assert_eq!(world.database.count(IN_OUTBOX).await, 0, "nothing was asked for");
    let report = answer(world, &["repair", "--yes"]).await;
    assert_eq!((missing(&report), &report["published"]), ([4, 3, 3], &Value::from(10)));
    let again = answer(world, &["repair", "--yes"]).await;
    assert_eq!((missing(&again), &again["published"]), ([0, 0, 0], &Value::from(0)), "they wait");

    let services = [system.start_relay(), system.start_delivery(), system.start_status()];
    until(world, "all are delivered", UNDELIVERED, 0).await;
    for service in services {
        service.stop().await;
    }
    let verdict = answer(world, &["verify", "--drained"]).await;
    assert_eq!(verdict["orders"]["delivered"], 4);
    let after = events(world).await;
    assert!(after.is_superset(&before), "{:#?}", before.difference(&after).collect::<Vec<_>>());
    assert_eq!(after.len(), 4 * 3);
    assert_eq!(missing(&answer(world, &["repair"]).await), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_is_killed_is_gone_on_with_by_the_next_one() {
    let system = delivered(20).await;
    let world = &system.world;
    lose(world, &[&world.topics.order_events, &world.topics.delivery_events]).await;
    // One event a second, so that it is killed long before its end.
    let slow = Ongoing::start(world, &["repair", "--yes", "--rate", "1"]);
    eventually("some wait", async || (world.database.count(IN_OUTBOX).await >= 2).then_some(()))
        .await;
    slow.kill();
    let report = answer(world, &["repair", "--yes"]).await;
    assert!((1..60).contains(&report["published"].as_u64().unwrap()), "{report:#}");
    let each_once = "SELECT count(DISTINCT event_id) FROM sales.outbox_events";
    assert_eq!(world.database.count(each_once).await, 60);
    assert_eq!(world.database.count(IN_OUTBOX).await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_second_step_was_put_aside_for_want_of_the_first_is_delivered() {
    let system = System::start().await;
    let world = &system.world;
    let (relay, delivery) = (system.start_relay(), system.start_delivery());
    let order = accepted(&system).await;
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    until(world, "it is reported", done, 1).await;
    delivery.stop().await;
    lose(world, &[&world.topics.delivery_events]).await;
    report_step(world, &order, DeliveryStep::Delivered).await;
    let status = system.start_status();
    eventually("the step is put aside", async || {
        read_all(&world.stack, &world.topics.delivery_events_dlq()).await.pop()
    })
    .await;

    let report = answer(world, &["repair", "--yes", "--order", &order]).await;
    assert_eq!(missing(&report), [0, 1, 1]);
    until(world, "it is delivered", UNDELIVERED, 0).await;
    status.stop().await;
    relay.stop().await;
    assert_eq!(verify(world, &["--drained"]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_would_be_shipped_twice_is_left_and_one_that_is_unknown_is_an_error() {
    let system = delivered(2).await;
    let world = &system.world;
    let order = any_order(world).await;
    let forget = format!("DELETE FROM delivery.shipments WHERE order_id = '{order}'");
    world.database.execute(&forget).await;
    let report = answer(world, &["repair", "--yes"]).await;
    assert_eq!((missing(&report), &report["left"]), ([0, 0, 0], &Value::from(1)), "{report:#}");
    assert_eq!(report["leftCases"][0]["orderId"], order);
    assert_eq!(world.database.count(IN_OUTBOX).await, 0);

    let unknown = uuid::Uuid::now_v7().to_string();
    let output = salesctl(world, &["repair", "--order", &unknown]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("no order {unknown} was found")), "{said}");
}
