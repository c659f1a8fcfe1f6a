//! Requests to cancel orders, their outcomes, and the invariants that they can violate.

use contracts::delivery_events::DELIVERY_VERSION;
use contracts::event_id::event_id;
use domain::DeliveryStep;
use system_tests::{RunningCommand, System, salesctl, stop_all};
use test_kit::{World, delete_topic, eventually, read_all};

use super::{assert_broken, broken, cases, report_step, verify};

const HOUR_MS: i64 = 3_600_000;

/// Requests to cancel an order, and waits for no decision longer than a second.
pub(crate) async fn request(system: &System, order: &str) {
    system.salesctl(&["orders", "cancel", order, "--timeout", "1"]).await;
    let stored =
        format!("SELECT count(*) FROM sales.order_cancellations WHERE order_id = '{order}'");
    assert_eq!(system.world.database.count(&stored).await, 1);
}

/// A system with a cancelled order, and with a delivered one whose cancellation was refused. Its
/// background services were stopped.
pub(crate) async fn cancelled_and_refused() -> (System, String, String) {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", HOUR_MS).set("DELIVERY_MAX_DELAY", HOUR_MS);
    let mut system = System::start_in(world);
    let services = system.start_background();
    let cancelled = system.accept().await;
    system.salesctl(&["orders", "cancel", &cancelled]).await.succeeded();
    stop_all(services).await;

    system.world.set("DELIVERY_MIN_DELAY", 0).set("DELIVERY_MAX_DELAY", 0);
    let (relay, delivery) = (system.start_relay(), system.start_delivery());
    let refused = system.accept().await;
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    system.world.database.until_count("it is reported", done, 1).await;
    request(&system, &refused).await;
    let status = system.start_status();
    let applied = "SELECT count(*) FROM sales.order_cancellations WHERE refused_at IS NOT NULL";
    system.world.database.until_count("the refusal is applied", applied, 1).await;
    // The refusal is applied and may not be marked, and a stop completes that.
    stop_all([relay, delivery, status]).await;
    (system, cancelled, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_orders_and_refused_requests_are_no_violation() {
    let (system, ..) = cancelled_and_refused().await;
    let (code, report) = verify(&system.world, &["--drained"]).await;
    assert_eq!((code, broken(&report)), (0, vec![]), "{report:#}");
    let orders = ["accepted", "delivered", "cancelled"].map(|it| report["orders"][it].as_u64());
    assert_eq!(orders, [Some(2), Some(1), Some(1)]);
    let checked = ["I1", "I11"].map(|it| report["invariants"][it]["checked"].as_u64());
    assert_eq!(checked, [Some(3 + 5), Some(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_both_cancelled_and_shipped_is_a_violation() {
    let (system, cancelled, refused) = cancelled_and_refused().await;
    let (world, topics) = (&system.world, &system.world.topics);
    // The shipment has both times.
    let time = |value: &str| {
        format!("UPDATE delivery.shipments SET shipped_at = {value} WHERE order_id = '{cancelled}'")
    };
    world.database.execute(&time("now()")).await;
    let words =
        "is cancelled in its history and its topic and its shipment, and shipped in its shipment";
    assert_broken(world, &[], &["I11"], &cancelled, words).await;
    world.database.execute(&time("NULL")).await;
    assert_eq!(verify(world, &[]).await.0, 0);

    // Both events are in the topic, also after status-consumer has dead-lettered the second one.
    report_step(world, &cancelled, DeliveryStep::Shipped, DELIVERY_VERSION).await;
    let words =
        "is cancelled in its history and its topic and its shipment, and shipped in its topic";
    assert_broken(world, &[], &["I11"], &cancelled, words).await;
    let status = system.start_status();
    eventually("the event is dead-lettered", async || {
        read_all(&world.stack, &topics.delivery_events_dlq()).await.pop()
    })
    .await;
    status.stop().await;
    assert_broken(world, &[], &["I11"], &cancelled, words).await;
    report_step(world, &refused, DeliveryStep::Cancelled, DELIVERY_VERSION).await;
    let words =
        "is cancelled in its topic, and shipped in its history and its topic and its shipment";
    assert_broken(world, &["--order", &refused], &["I11"], &refused, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_with_both_outcomes_is_a_violation() {
    let (system, cancelled, _) = cancelled_and_refused().await;
    let event = event_id(cancelled.parse().unwrap(), "order.shipped");
    let both = format!(
        "INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
         VALUES ('{cancelled}', 3, 'Shipped', '{event}', now())"
    );
    system.world.database.execute(&both).await;
    let words = "is Cancelled, and order.shipped is not in its topic";
    assert_broken(&system.world, &[], &["I1", "I4", "I11"], &cancelled, words).await;
    let (_, report) = verify(&system.world, &[]).await;
    let words = "is Cancelled, and its history has Shipped".to_owned();
    assert_eq!(cases(&report, "I4"), [(Some(cancelled.clone()), words)]);
    let words =
        "is cancelled in its history and its topic and its shipment, and shipped in its history";
    assert_eq!(cases(&report, "I11"), [(Some(cancelled), words.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_with_another_shipment_is_a_violation() {
    let (system, cancelled, _) = cancelled_and_refused().await;
    let (world, row) = (&system.world, format!("WHERE order_id = '{cancelled}'"));
    let ships = format!(
        "UPDATE delivery.shipments
         SET state = 'Pending Shipment', cancellation = NULL, cancelled_at = NULL, next_step_at = now() {row}"
    );
    world.database.execute(&ships).await;
    let words = "is Cancelled, and its shipment is Pending Shipment";
    assert_broken(world, &[], &["I4"], &cancelled, words).await;
    world.database.execute(&format!("DELETE FROM delivery.shipments {row}")).await;
    assert_broken(world, &[], &["I4"], &cancelled, "is Cancelled, and has no shipment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_events_of_cancellations_are_violations() {
    let (system, cancelled, refused) = cancelled_and_refused().await;
    let world = &system.world;
    let order = system.accept().await;
    request(&system, &order).await;
    assert_eq!(verify(world, &[]).await.0, 0);
    let requests =
        "DELETE FROM sales.outbox_events WHERE event_type = 'order.cancellation-requested'";
    world.database.execute(requests).await;
    let words = "order.cancellation-requested is neither in its topic nor in the outbox";
    assert_broken(world, &[], &["I1"], &order, words).await;

    delete_topic(&world.stack, &world.topics.delivery_events).await;
    salesctl(world, &["topics", "create"]).await.succeeded();
    let words = "is Cancelled, and order.cancelled is not in its topic";
    assert_broken(world, &[], &["I1"], &cancelled, words).await;
    let words =
        "a request to cancel it was refused, and order.cancellation-refused is not in its topic";
    assert_broken(world, &[], &["I1"], &refused, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_outcome_is_a_violation() {
    let (system, _, refused) = cancelled_and_refused().await;
    let (world, order) = (&system.world, system.accept().await);
    let forget = "UPDATE sales.order_cancellations SET refusal = NULL, refused_at = NULL";
    world.database.execute(forget).await;
    let words = "is Delivered, and no pending event or step can decide the request to cancel it";
    assert_broken(world, &[], &["I6"], &refused, words).await;
    // The dispatcher has not decided yet.
    empty(world).await;
    let undecided = format!(
        "UPDATE delivery.shipments SET cancellation = 'requested' WHERE order_id = '{refused}'"
    );
    world.database.execute(&undecided).await;
    let (code, report) = verify(world, &["--order", &refused]).await;
    assert_eq!((code, &report["orders"]["pending"]), (0, &1.into()), "{report:#}");
    let words = "is Delivered: the request to cancel it waits for delivery-service";
    assert_broken(world, &["--order", &refused, "--drained"], &["I6"], &refused, words).await;

    request(&system, &order).await;
    let refusal = format!(
        "UPDATE sales.order_cancellations SET refusal = 'ALREADY_SHIPPED', refused_at = now()
         WHERE order_id = '{order}'"
    );
    world.database.execute(&refusal).await;
    let (_, report) = verify(world, &["--order", &order]).await;
    let words = "a request to cancel it was refused, and it was not shipped".to_owned();
    assert_eq!(cases(&report, "I11"), [(Some(order), words)]);
}

/// Deletes all delivery events, as retention does.
async fn empty(world: &World) {
    test_kit::empty_topic(&world.stack, &world.topics.delivery_events).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_finds_no_violation_while_orders_are_cancelled() {
    const ORDERS: usize = 24;
    let mut world = World::create().await;
    world.set("DELIVERY_MAX_DELAY", 500);
    let system = System::start_in(world);
    let services = system.start_background();
    let mut requests = Vec::new();
    for _ in 0..ORDERS {
        let order = system.accept().await;
        requests.push(RunningCommand::salesctl(&system.world, &["orders", "cancel", &order]));
        let (code, report) = verify(&system.world, &[]).await;
        assert_eq!(code, 0, "{report:#}");
    }
    for request in requests {
        request.end().await;
    }
    let open = "SELECT count(*) FROM sales.orders o LEFT JOIN sales.order_cancellations c ON c.order_id = o.id
        WHERE o.status NOT IN ('Delivered', 'Cancelled') OR o.status = 'Delivered' AND c.order_id IS NOT NULL AND c.refused_at IS NULL";
    system.world.database.until_count("all have their outcome", open, 0).await;
    stop_all(services).await;
    let (code, report) = verify(&system.world, &["--drained"]).await;
    assert_eq!(code, 0, "{report:#}");
    let [delivered, cancelled] =
        ["delivered", "cancelled"].map(|it| report["orders"][it].as_u64().unwrap());
    assert_eq!(delivered + cancelled, ORDERS as u64);
}
