use domain::DeliveryStep::{Delivered, Shipped};
use domain::OrderId;
use status_consumer::build;
use test_kit::{Process, World, eventually, is_ready, metrics, read_all, until_processed};

use crate::shop::{history, place, report, until_delivered};

const WHOLE_LIFE: [&str; 3] = ["Pending Shipment", "Shipped", "Delivered"];

#[tokio::test(flavor = "multi_thread")]
async fn both_steps_of_an_order_are_applied() {
    let world = World::create().await;
    let service = world.start(build);
    let order = place(&world).await;
    report(&world, order, Shipped).await;
    report(&world, order, Delivered).await;
    until_delivered(&world, order).await;
    assert_eq!(history(&world, order).await, WHOLE_LIFE);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicate_event_changes_nothing() {
    let world = World::create().await;
    let order = place(&world).await;
    // All are published before the consumer starts, so that one batch contains duplicates.
    for step in [Shipped, Shipped, Delivered, Shipped, Delivered] {
        report(&world, order, step).await;
    }
    let (service, port) = world.start_with_port(build);
    until_processed(port, &world.topics.delivery_events, 5).await;
    until_delivered(&world, order).await;
    // Then a duplicate in a batch of its own.
    report(&world, order, Shipped).await;
    until_processed(port, &world.topics.delivery_events, 6).await;
    service.stop().await;

    assert_eq!(history(&world, order).await, WHOLE_LIFE);
    assert!(read_all(&world.stack, &world.topics.delivery_events_dlq()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_and_stale_events_are_counted() {
    let world = World::create().await;
    let order = place(&world).await;
    // A separate process counts the events of this test alone.
    let process = Process::start(env!("CARGO_BIN_EXE_status-consumer"), &world).await;
    let port = process.management_port();
    for step in [Shipped, Delivered, Delivered] {
        report(&world, order, step).await;
    }
    until_processed(port, &world.topics.delivery_events, 3).await;
    // Another event had reported the step.
    let other =
        "UPDATE sales.order_status_history SET event_id = gen_random_uuid() WHERE sequence = 2";
    world.database.execute(other).await;
    report(&world, order, Shipped).await;
    until_processed(port, &world.topics.delivery_events, 4).await;

    let metrics = metrics(port).await;
    for count in ["status_applied_total 2", "status_duplicates_total 1", "status_stale_total 1"] {
        assert!(metrics.lines().any(|line| line == count), "{count} is missing");
    }
    assert_eq!(history(&world, order).await, WHOLE_LIFE);
}

#[tokio::test(flavor = "multi_thread")]
async fn rereading_the_delivery_topic_changes_no_order() {
    let mut world = World::create().await;
    let order = place(&world).await;
    report(&world, order, Shipped).await;
    report(&world, order, Delivered).await;
    let (service, port) = world.start_with_port(build);
    until_processed(port, &world.topics.delivery_events, 2).await;
    until_delivered(&world, order).await;
    service.stop().await;
    let before = recorded(&world, order).await;

    let again = format!("{}-again", world.topics.status_group);
    world.set("STATUS_GROUP", again);
    let (service, port) = world.start_with_port(build);
    until_processed(port, &world.topics.delivery_events, 4).await;
    service.stop().await;
    assert_eq!(recorded(&world, order).await, before);
}

/// The times at which the steps were recorded.
async fn recorded(world: &World, order: OrderId) -> Vec<String> {
    let query = format!(
        "SELECT recorded_at::text FROM sales.order_status_history WHERE order_id = '{order}' ORDER BY sequence"
    );
    world.database.query(&query).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_consumer_continues_after_a_kill() {
    let world = World::create().await;
    let first = Process::start(env!("CARGO_BIN_EXE_status-consumer"), &world).await;
    let order = place(&world).await;
    report(&world, order, Shipped).await;
    until_processed(first.management_port(), &world.topics.delivery_events, 1).await;
    first.kill();
    report(&world, order, Delivered).await;
    let _second = world.start(build);
    until_delivered(&world, order).await;
    assert_eq!(history(&world, order).await, WHOLE_LIFE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_outage_ends_no_consumer_and_loses_no_event() {
    let mut world = World::create().await;
    let order = place(&world).await;
    let proxy = world.proxy_database().await;
    proxy.cut();
    let (service, port) = world.start_with_port(build);
    report(&world, order, Shipped).await;
    report(&world, order, Delivered).await;
    let taken = format!("consumer_batch_size_count{{topic=\"{}\"}}", world.topics.delivery_events);
    eventually("an event was read", async || metrics(port).await.contains(&taken).then_some(()))
        .await;
    assert!(!is_ready(port).await);
    proxy.heal();
    until_delivered(&world, order).await;
    assert_eq!(history(&world, order).await, WHOLE_LIFE);
    assert!(service.is_alive());
    service.stop().await;
}
