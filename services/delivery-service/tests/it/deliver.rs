use contracts::delivery_events::{ORDER_DELIVERED, ORDER_SHIPPED};
use contracts::envelope::Event;
use contracts::event_id::event_id;
use delivery_service::build;
use domain::OrderId;
use test_kit::{
    Process, World, eventually, is_ready, metrics, read_all, until_processed, until_ready,
};

use crate::shop::{TRACE, announce, delivered, reported};

/// Delivers an order with a service, then stops the service.
async fn deliver_one(world: &World) -> OrderId {
    let service = world.start(build);
    let order = OrderId::generate();
    announce(world, order).await;
    delivered(world, 1).await;
    service.stop().await;
    order
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shipped_and_then_delivered() {
    let world = World::create().await;
    let order = deliver_one(&world).await;

    let reported = reported(&world).await;
    let types: Vec<&str> = reported.iter().map(|it| it.attributes.event_type.as_str()).collect();
    assert_eq!(types, [ORDER_SHIPPED, ORDER_DELIVERED]);
    for envelope in &reported {
        let attributes = &envelope.attributes;
        assert_eq!(envelope.event.order_id(), order);
        assert_eq!(attributes.id, event_id(order, &attributes.event_type));
        assert_eq!(attributes.correlation_id.as_deref(), Some("checkout-17"));
        assert_eq!(attributes.trace.as_ref().map(|trace| trace.traceparent.as_str()), Some(TRACE));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rereading_a_topic_creates_no_second_shipment() {
    let mut world = World::create().await;
    let order = OrderId::generate();
    for _ in 0..3 {
        announce(&world, order).await;
    }
    // The second round reads the topic with a new consumer group.
    for round in 1..=2 {
        let (service, port) = world.start_with_port(build);
        until_processed(port, &world.topics.order_events, 3 * round).await;
        delivered(&world, 1).await;
        service.stop().await;
        let again = format!("{}-again", world.topics.delivery_group);
        world.set("DELIVERY_GROUP", again);
    }
    assert_eq!(world.database.count("SELECT count(*) FROM delivery.shipments").await, 1);
    assert_eq!(reported(&world).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_takes_its_delay_and_the_timer_survives_a_kill() {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", 1500).set("DELIVERY_MAX_DELAY", 1500);
    world.set("KAFKA_PUBLISH_TIMEOUT", 500).set("DELIVERY_LEASE", 3000);
    let first = Process::start(env!("CARGO_BIN_EXE_delivery-service"), &world).await;
    announce(&world, OrderId::generate()).await;
    let begun = "SELECT count(*) FROM delivery.shipments";
    eventually("the timer runs", async || (world.database.count(begun).await == 1).then_some(()))
        .await;
    first.kill();
    let _second = world.start(build);
    delivered(&world, 1).await;
    let delays = "SELECT count(*) FROM delivery.shipments
        WHERE shipped_at - created_at >= interval '1.5 s' AND delivered_at - shipped_at >= interval '1.5 s'";
    assert_eq!(world.database.count(delays).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_published_at_their_time_and_not_at_the_next_poll() {
    let mut world = World::create().await;
    world.set("DELIVERY_POLL_INTERVAL", 3_600_000).set("DELIVERY_LEASE", 3_600_000);
    world.set("DELIVERY_MIN_DELAY", 300).set("DELIVERY_MAX_DELAY", 600);
    let service = world.start(build);
    for orders in 1..=3 {
        announce(&world, OrderId::generate()).await;
        delivered(&world, orders).await;
    }
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_was_published_but_not_marked_is_published_again_as_the_same_event() {
    let world = World::create().await;
    deliver_one(&world).await;
    // As if the service had died between the acknowledgement and the mark of the last step.
    let due = reported(&world).await[1].attributes.time;
    let undo = format!(
        "UPDATE delivery.shipments SET state = 'Shipped', next_step_at = '{}', delivered_at = NULL",
        due.to_rfc3339()
    );
    world.database.query(&undo).await;
    let service = world.start(build);
    delivered(&world, 1).await;
    service.stop().await;

    let records = read_all(&world.stack, &world.topics.delivery_events).await;
    assert_eq!(records.len(), 3);
    assert_eq!((&records[1].value, &records[1].headers), (&records[2].value, &records[2].headers));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_outage_does_not_end_the_service() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let (service, port) = world.start_with_port(build);
    announce(&world, OrderId::generate()).await;
    delivered(&world, 1).await;
    until_ready(port).await;
    proxy.cut();
    eventually("not ready", async || (!is_ready(port).await).then_some(())).await;
    announce(&world, OrderId::generate()).await;
    // The intake has read the second batch of this topic, and cannot store it.
    let taken = format!("consumer_batch_size_count{{topic=\"{}\"}} 2", world.topics.order_events);
    eventually("the order was read", async || metrics(port).await.contains(&taken).then_some(()))
        .await;
    proxy.heal();
    delivered(&world, 2).await;
    assert!(service.is_alive());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_with_a_lease_an_hour_ahead_is_dispatched() {
    let world = World::create().await;
    // As if the clock had been set back, or another server had taken over.
    let leased = "INSERT INTO delivery.shipments (order_id, next_step_at) VALUES (gen_random_uuid(), now());
        INSERT INTO delivery.dispatchers VALUES (gen_random_uuid(), now() + interval '1 hour', 10000);
        UPDATE delivery.shards SET owner = gen_random_uuid(), lease_until = now() + interval '1 hour', lease_ms = 10000";
    world.database.execute(leased).await;
    let service = world.start(build);
    delivered(&world, 1).await;
    service.stop().await;
}
