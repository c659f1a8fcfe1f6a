//! `salesctl repair` publishes lost events again from the database.

use std::collections::BTreeSet;

use contracts::delivery_events::DELIVERY_VERSION;
use domain::DeliveryStep;
use messaging::Record;
use serde_json::Value;
use test_kit::{World, delete_topic, eventually, read_all};

use crate::verify::cancellations::{cancelled_and_refused, request};
use crate::verify::{any_order, delivered, report_step, verify};
use system_tests::{RunningCommand, System, answer, salesctl, stop_all};

/// The number of missing events that a repair reports, by type.
fn missing(report: &Value) -> [u64; 3] {
    counts(report, ["order.created", "order.shipped", "order.delivered"])
}

/// The same, of the events of cancellations.
fn missing_of_cancellations(report: &Value) -> [u64; 3] {
    let names = ["cancellation-requested", "cancelled", "cancellation-refused"];
    counts(report, names.map(|name| format!("order.{name}")))
}

fn counts(report: &Value, types: [impl AsRef<str>; 3]) -> [u64; 3] {
    types.map(|event_type| {
        let all = report["missing"].as_array().unwrap();
        let of_type = all.iter().find(|it| it["type"] == event_type.as_ref());
        of_type.unwrap_or_else(|| panic!("{report:#}"))["count"].as_u64().unwrap()
    })
}

/// The fields that identify an event, wherever and however often it is published.
fn identity(record: &Record) -> [String; 7] {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let [id, kind, time, source, subject] =
        ["ce_id", "ce_type", "ce_time", "ce_source", "ce_subject"]
            .map(|it| text(record.header(it)));
    let [key, value] = [&record.key, &record.value].map(|it| text(it.as_deref()));
    [key, value, id, kind, time, source, subject]
}

/// The distinct events in both topics.
async fn events(world: &World) -> BTreeSet<[String; 7]> {
    let mut all = BTreeSet::new();
    for topic in [&world.topics.order_events, &world.topics.delivery_events] {
        all.extend(read_all(&world.stack, topic).await.iter().map(identity));
    }
    all
}

/// Deletes the topics and creates them empty.
async fn lose(world: &World, topics: &[&str]) {
    for topic in topics {
        delete_topic(&world.stack, topic).await;
    }
    salesctl(world, &["topics", "create"]).await.succeeded();
}

const IN_OUTBOX: &str = "SELECT count(*) FROM sales.outbox_events";
const UNDELIVERED: &str = "SELECT count(*) FROM sales.orders WHERE status <> 'Delivered'";

#[tokio::test(flavor = "multi_thread")]
async fn repair_rebuilds_lost_topics_with_the_same_events_and_orders_are_delivered() {
    let system = delivered(2).await;
    let world = &system.world;
    // An order that delivery-service has delivered and status-consumer has not read.
    let (relay, delivery) = (system.start_relay(), system.start_delivery());
    system.accept().await;
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    world.database.until_count("it is reported", done, 3).await;
    delivery.stop().await;
    // An order that delivery-service has not read.
    system.accept().await;
    world.database.until_count("it is published", IN_OUTBOX, 0).await;
    relay.stop().await;
    let before = events(world).await;
    assert_eq!(before.len(), 4 + 3 * 2);

    lose(world, &[&world.topics.order_events, &world.topics.delivery_events]).await;
    assert_eq!(verify(world, &[]).await.0, 3);
    let plan = answer(world, &["repair"]).await;
    assert_eq!((missing(&plan), &plan["published"]), ([4, 3, 3], &Value::from(0)));
    assert_eq!(world.database.count(IN_OUTBOX).await, 0, "a dry run publishes nothing");
    let report = answer(world, &["repair", "--yes"]).await;
    assert_eq!((missing(&report), &report["published"]), ([4, 3, 3], &Value::from(10)));
    let again = answer(world, &["repair", "--yes"]).await;
    assert_eq!(
        (missing(&again), &again["published"]),
        ([0, 0, 0], &Value::from(0)),
        "the outbox has them"
    );

    let services = system.start_background();
    world.database.until_count("all are delivered", UNDELIVERED, 0).await;
    stop_all(services).await;
    let verdict = answer(world, &["verify", "--drained"]).await;
    assert_eq!(verdict["orders"]["delivered"], 4);
    let after = events(world).await;
    assert!(after.is_superset(&before), "{:#?}", before.difference(&after).collect::<Vec<_>>());
    assert_eq!(after.len(), 4 * 3);
    assert_eq!(missing(&answer(world, &["repair"]).await), [0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_repair_is_completed_by_the_next_one() {
    let system = delivered(20).await;
    let world = &system.world;
    lose(world, &[&world.topics.order_events, &world.topics.delivery_events]).await;
    // One event per second, so that the kill comes long before the end.
    let slow = RunningCommand::salesctl(world, &["repair", "--yes", "--rate", "1"]);
    eventually("some are queued", async || {
        (world.database.count(IN_OUTBOX).await >= 2).then_some(())
    })
    .await;
    slow.kill();
    let report = answer(world, &["repair", "--yes"]).await;
    assert!((1..60).contains(&report["published"].as_u64().unwrap()), "{report:#}");
    let each_once = "SELECT count(DISTINCT event_id) FROM sales.outbox_events";
    assert_eq!(world.database.count(each_once).await, 60);
    assert_eq!(world.database.count(IN_OUTBOX).await, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_delivers_an_order_whose_second_step_was_dead_lettered_without_the_first() {
    let system = System::start().await;
    let world = &system.world;
    let (relay, delivery) = (system.start_relay(), system.start_delivery());
    let order = system.accept().await;
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    world.database.until_count("it is reported", done, 1).await;
    delivery.stop().await;
    lose(world, &[&world.topics.delivery_events]).await;
    report_step(world, &order, DeliveryStep::Delivered, DELIVERY_VERSION).await;
    let status = system.start_status();
    eventually("the step is dead-lettered", async || {
        read_all(&world.stack, &world.topics.delivery_events_dlq()).await.pop()
    })
    .await;

    let report = answer(world, &["repair", "--yes", "--order", &order]).await;
    assert_eq!(missing(&report), [0, 1, 1]);
    world.database.until_count("it is delivered", UNDELIVERED, 0).await;
    status.stop().await;
    relay.stop().await;
    assert_eq!(verify(world, &["--drained"]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_skips_orders_it_would_ship_twice_and_rejects_unknown_orders() {
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
    let report = salesctl(world, &["repair", "--order", &unknown]).await.failed(1);
    assert!(report.contains(&format!("no order {unknown} was found")), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_rebuilds_the_events_of_cancellations_and_completes_them() {
    const NEVER: i64 = 3_600_000;
    let (mut system, _, _) = cancelled_and_refused().await;
    let relay = system.start_relay();
    // An order that delivery-service has cancelled, and one whose cancellation it has refused.
    // status-consumer has read neither.
    system.world.set("DELIVERY_MIN_DELAY", NEVER).set("DELIVERY_MAX_DELAY", NEVER);
    let delivery = system.start_delivery();
    request(&system, &system.accept().await).await;
    let cancelled = "SELECT count(*) FROM delivery.shipments WHERE state = 'Cancelled'";
    system.world.database.until_count("it is cancelled", cancelled, 2).await;
    delivery.stop().await;
    system.world.set("DELIVERY_MIN_DELAY", 0).set("DELIVERY_MAX_DELAY", 0);
    let delivery = system.start_delivery();
    let order = system.accept().await;
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    system.world.database.until_count("it is reported", done, 2).await;
    request(&system, &order).await;
    let refused = "SELECT count(*) FROM delivery.shipments WHERE cancellation = 'refused'";
    system.world.database.until_count("it is refused", refused, 2).await;
    delivery.stop().await;
    // An order that delivery-service has not read.
    request(&system, &system.accept().await).await;
    system.world.database.until_count("it is published", IN_OUTBOX, 0).await;
    relay.stop().await;
    let before = events(&system.world).await;
    assert_eq!(before.len(), 3 * 2 + 5 * 2 + 2);

    let topics = &system.world.topics;
    lose(&system.world, &[&topics.order_events, &topics.delivery_events]).await;
    let report = answer(&system.world, &["repair", "--yes"]).await;
    assert_eq!((missing(&report), missing_of_cancellations(&report)), ([5, 2, 2], [5, 2, 2]));
    assert_eq!((&report["published"], &report["left"]), (&Value::from(18), &Value::from(0)));

    system.world.set("DELIVERY_MIN_DELAY", NEVER).set("DELIVERY_MAX_DELAY", NEVER);
    let world = &system.world;
    let services = system.start_background();
    let cancelled = "SELECT count(*) FROM sales.orders WHERE status = 'Cancelled'";
    world.database.until_count("three are cancelled", cancelled, 3).await;
    let refused = "SELECT count(*) FROM sales.order_cancellations WHERE refused_at IS NOT NULL";
    world.database.until_count("two are refused", refused, 2).await;
    stop_all(services).await;
    let verdict = answer(world, &["verify", "--drained"]).await;
    assert_eq!(
        (&verdict["orders"]["delivered"], &verdict["orders"]["cancelled"]),
        (&2.into(), &3.into())
    );
    let after = events(world).await;
    assert!(after.is_superset(&before), "{:#?}", before.difference(&after).collect::<Vec<_>>());
    assert_eq!(after.len(), 3 * 3 + 5 * 2);
    let again = answer(world, &["repair"]).await;
    assert_eq!((missing(&again), missing_of_cancellations(&again)), ([0; 3], [0; 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn repair_cancels_no_order_that_was_shipped() {
    let (system, _, refused) = cancelled_and_refused().await;
    let world = &system.world;
    lose(world, &[&world.topics.order_events]).await;
    // delivery-service was restored from a backup.
    let undo = format!(
        "UPDATE delivery.shipments
         SET state = 'Pending Shipment', next_step_at = now() + interval '1 day', cancellation = NULL
         WHERE order_id = '{refused}';
         UPDATE sales.order_cancellations SET refusal = NULL, refused_at = NULL"
    );
    world.database.execute(&undo).await;
    let report = answer(world, &["repair", "--yes", "--order", &refused]).await;
    assert_eq!((missing(&report), missing_of_cancellations(&report)), ([1, 0, 0], [0; 3]));
    assert_eq!(report["left"], 1);
    let words =
        "was shipped, and its shipment is Pending Shipment; delivery-service would cancel it";
    assert_eq!(report["leftCases"][0]["what"], words);
}
