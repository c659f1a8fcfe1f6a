//! Requests to cancel an order: decided by the holder of its shard, before or after it is shipped.

use std::collections::BTreeSet;

use contracts::delivery_events::{
    ORDER_CANCELLATION_REFUSED, ORDER_CANCELLED, ORDER_DELIVERED, ORDER_SHIPPED,
};
use delivery_service::build;
use domain::OrderId;
use test_kit::{Process, World, eventually, metrics, produce_all};

use crate::shop::{announce, cancellation, created, delivered, reported, types_of};

/// A world in which a step takes an hour.
async fn slow_world() -> World {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", 3_600_000).set("DELIVERY_MAX_DELAY", 3_600_000);
    world
}

async fn request(world: &World, order: OrderId) {
    produce_all(&world.stack, &world.topics.order_events, &[cancellation(order)]).await;
}

async fn until_shipments(world: &World, condition: &str, wanted: i64) {
    let count = format!("SELECT count(*) FROM delivery.shipments WHERE {condition}");
    eventually(condition, async || (world.database.count(&count).await == wanted).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_order_is_cancelled_instead_of_shipped() {
    let world = slow_world().await;
    // A separate process counts the events of this test alone.
    let process = Process::start(env!("CARGO_BIN_EXE_delivery-service"), &world).await;
    let port = process.management_port();
    let order = OrderId::generate();
    announce(&world, order).await;
    until_shipments(&world, "true", 1).await;
    request(&world, order).await;
    until_shipments(&world, "state = 'Cancelled' AND cancelled_at IS NOT NULL", 1).await;

    // Repeated, as after a rebalance.
    request(&world, order).await;
    let decisions = "delivery_cancellations_total{outcome=\"accepted\"} 1";
    let repeated = "delivery_duplicates_total 1";
    eventually("the decision and the repetition are counted", async || {
        let text = metrics(port).await;
        [decisions, repeated].iter().all(|line| text.lines().any(|it| it == *line)).then_some(())
    })
    .await;
    assert!(metrics(port).await.contains("delivery_cancellation_decision_seconds_count 1"));
    assert!(process.terminate().await.success());
    let reported = reported(&world).await;
    let [cancelled] = reported.as_slice() else { panic!("{reported:?}") };
    assert_eq!(cancelled.attributes.event_type, ORDER_CANCELLED);
    // The cause is the request to cancel, not the one that created the order.
    assert_eq!(cancelled.attributes.correlation_id.as_deref(), Some("cancel-18"));
    assert_eq!(cancelled.attributes.trace, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shipped_order_is_delivered_and_its_cancellation_refused() {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", 0).set("DELIVERY_MAX_DELAY", 0);
    let service = world.start(build);
    let order = OrderId::generate();
    announce(&world, order).await;
    delivered(&world, 1).await;
    request(&world, order).await;
    until_shipments(&world, "cancellation = 'refused' AND state = 'Delivered'", 1).await;
    service.stop().await;
    let kept = "delivered_at IS NOT NULL AND shipped_at IS NOT NULL AND next_step_at IS NULL";
    until_shipments(&world, kept, 1).await;
    assert_eq!(
        types_of(&reported(&world).await, order),
        [ORDER_SHIPPED, ORDER_DELIVERED, ORDER_CANCELLATION_REFUSED]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_keep_an_order_from_being_delivered() {
    let world = slow_world().await;
    let shipped = "INSERT INTO delivery.shipments (order_id, state, next_step_at, shipped_at)
        VALUES ('0199c0de-0000-7000-8000-000000000001', 'Shipped', now() + interval '1 hour', now())";
    world.database.execute(shipped).await;
    let order: OrderId = "0199c0de-0000-7000-8000-000000000001".parse().unwrap();
    let service = world.start(build);
    request(&world, order).await;
    let at_its_time = "cancellation = 'refused' AND next_step_at > now() + interval '50 minutes'";
    until_shipments(&world, at_its_time, 1).await;
    world.database.execute("UPDATE delivery.shipments SET next_step_at = now()").await;
    delivered(&world, 1).await;
    service.stop().await;
    assert_eq!(
        types_of(&reported(&world).await, order),
        [ORDER_CANCELLATION_REFUSED, ORDER_DELIVERED]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_twice_in_a_batch_is_decided_once() {
    let world = slow_world().await;
    let order = OrderId::generate();
    let twice = [cancellation(order), cancellation(order)];
    produce_all(&world.stack, &world.topics.order_events, &twice).await;
    let service = world.start(build);
    until_shipments(&world, "state = 'Cancelled'", 1).await;
    service.stop().await;
    assert_eq!(types_of(&reported(&world).await, order), [ORDER_CANCELLED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_due_is_published_before_a_refusal() {
    let world = slow_world().await;
    let order = OrderId::generate();
    let due = format!(
        "INSERT INTO delivery.shipments
             (order_id, state, next_step_at, shipped_at, cancellation, cancellation_requested_at)
         VALUES ('{order}', 'Shipped', now(), now(), 'requested', now())"
    );
    world.database.execute(&due).await;
    let service = world.start(build);
    until_shipments(&world, "cancellation = 'refused'", 1).await;
    service.stop().await;
    assert_eq!(
        types_of(&reported(&world).await, order),
        [ORDER_DELIVERED, ORDER_CANCELLATION_REFUSED]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_before_its_order_cancels_it() {
    let world = slow_world().await;
    let service = world.start(build);
    let order = OrderId::generate();
    request(&world, order).await;
    until_shipments(&world, "state = 'Cancelled'", 1).await;
    announce(&world, order).await;
    let other = OrderId::generate();
    announce(&world, other).await;
    until_shipments(&world, "true", 2).await;
    service.stop().await;
    assert_eq!(types_of(&reported(&world).await, order), [ORDER_CANCELLED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_would_ship_within_a_lease_is_cancelled_after_a_restart() {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", 50_000).set("DELIVERY_MAX_DELAY", 50_000);
    world.set("DELIVERY_LEASE", 60_000);
    let order = OrderId::generate();
    let first = world.start(build);
    announce(&world, order).await;
    until_shipments(&world, "true", 1).await;
    first.stop().await;
    let second = world.start(build);
    request(&world, order).await;
    until_shipments(&world, "state = 'Cancelled'", 1).await;
    second.stop().await;
    assert_eq!(types_of(&reported(&world).await, order), [ORDER_CANCELLED]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_step_may_have_been_published_is_not_cancelled() {
    let world = slow_world().await;
    let (published, order) = (OrderId::generate(), OrderId::generate());
    // As if a holder had died between the acknowledgement and the mark, and the clock had been set
    // back since: its lease is in the future, and the step is not due any more.
    let left = format!(
        "INSERT INTO delivery.shipments (order_id, next_step_at)
         VALUES ('{published}', now() + interval '30 minutes'), ('{order}', now() + interval '2 hours');
         UPDATE delivery.shards SET owner = gen_random_uuid(), token = 7, lease_ms = 10000,
             lease_until = now() + interval '1 hour'"
    );
    world.database.execute(&left).await;
    let service = world.start(build);
    produce_all(
        &world.stack,
        &world.topics.order_events,
        &[cancellation(published), cancellation(order)],
    )
    .await;
    until_shipments(&world, "state = 'Cancelled'", 1).await;
    let due = format!(
        "UPDATE delivery.shipments SET next_step_at = now() WHERE order_id = '{published}'"
    );
    world.database.execute(&due).await;
    until_shipments(&world, "cancellation = 'refused' AND state = 'Shipped'", 1).await;
    service.stop().await;
    assert_eq!(types_of(&reported(&world).await, order), [ORDER_CANCELLED]);
    assert_eq!(
        types_of(&reported(&world).await, published),
        [ORDER_SHIPPED, ORDER_CANCELLATION_REFUSED]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_killed_neither_ship_a_cancelled_order_nor_cancel_a_shipped_one() {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", 0).set("DELIVERY_MAX_DELAY", 1500);
    world.set("KAFKA_PUBLISH_TIMEOUT", 500).set("DELIVERY_LEASE", 3000);
    let start = || Process::start(env!("CARGO_BIN_EXE_delivery-service"), &world);
    let mut members = vec![start().await, start().await];
    let mut orders = Vec::new();
    for round in 0..4 {
        let batch: Vec<OrderId> = (0..100).map(|_| OrderId::generate()).collect();
        let new: Vec<_> = batch.iter().map(|order| created(*order)).collect();
        produce_all(&world.stack, &world.topics.order_events, &new).await;
        let requests: Vec<_> = batch.iter().map(|order| cancellation(*order)).collect();
        produce_all(&world.stack, &world.topics.order_events, &requests).await;
        orders.extend(batch);
        let some =
            "SELECT count(*) FROM delivery.shipments WHERE cancellation IN ('accepted', 'refused')";
        eventually("some are decided", async || {
            (world.database.count(some).await > round * 100 + 20).then_some(())
        })
        .await;
        members.remove(0).kill();
        members.push(start().await);
    }
    let open =
        "SELECT count(*) FROM delivery.shipments WHERE cancellation IN ('requested', 'refusing')
        OR state NOT IN ('Delivered', 'Cancelled')";
    eventually("all are decided", async || {
        let all = world.database.count("SELECT count(*) FROM delivery.shipments").await;
        (all == 400 && world.database.count(open).await == 0).then_some(())
    })
    .await;
    for member in members {
        assert!(member.terminate().await.success());
    }
    let mut cancelled = 0;
    let events = reported(&world).await;
    for order in orders {
        let types = types_of(&events, order);
        if types == [ORDER_CANCELLED] {
            cancelled += 1;
            continue;
        }
        assert_eq!(types[0], ORDER_SHIPPED, "{types:?}");
        let types: BTreeSet<&str> = types.iter().map(String::as_str).collect();
        let expected = [ORDER_CANCELLATION_REFUSED, ORDER_DELIVERED, ORDER_SHIPPED];
        assert_eq!(types, BTreeSet::from(expected));
    }
    assert!((1..400).contains(&cancelled), "{cancelled} of 400");
}
