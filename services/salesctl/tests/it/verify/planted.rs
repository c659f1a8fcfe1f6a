//! Each invariant, violated on purpose.

use contracts::delivery_events::DELIVERY_VERSION;
use contracts::event_id::event_id;
use domain::{DeliveryStep, OrderId};
use messaging::Record;
use messaging::dead_letter::{DeadLetterReason, DeadLetters};
use test_kit::{World, eventually, produce, read_all};
use uuid::Uuid;

use super::{any_order, assert_broken, cases, delivered, report_step, verify};
use system_tests::{System, answer};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_missing_from_topic_and_outbox_is_a_violation() {
    let system = delivered(2).await;
    let order = system.accept().await;
    assert_eq!(verify(&system.world, &[]).await.0, 0);
    system.world.database.execute("DELETE FROM sales.outbox_events").await;
    let words = "order.created is neither in its topic nor in the outbox";
    assert_broken(&system.world, &[], &["I1", "I6"], &order, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_without_its_event_is_a_violation() {
    let system = delivered(2).await;
    let order = system.accept().await;
    let event = event_id(order.parse().unwrap(), "order.shipped");
    let steps = format!(
        "UPDATE sales.orders SET status = 'Shipped' WHERE id = '{order}';
         INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
         VALUES ('{order}', 2, 'Shipped', '{event}', now())"
    );
    system.world.database.execute(&steps).await;
    let words = "is Shipped, and order.shipped is not in its topic";
    assert_broken(&system.world, &[], &["I1"], &order, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_an_unknown_order_is_a_violation() {
    let system = delivered(2).await;
    let order = OrderId::generate().to_string();
    report_step(&system.world, &order, DeliveryStep::Shipped, DELIVERY_VERSION).await;
    let words = "names an order that does not exist";
    assert_broken(&system.world, &[], &["I2"], &order, words).await;
    assert_broken(&system.world, &["--order", &order], &["I2"], &order, words).await;
    let before = ["--until", "2020-01-01T00:00:00Z"];
    assert_eq!(verify(&system.world, &before).await.0, 0, "the order is outside the period");
    // status-consumer dead-letters the record. A dead-lettered record is not a violation.
    let status = system.start_status();
    eventually("the record is dead-lettered", async || {
        read_all(&system.world.stack, &system.world.topics.delivery_events_dlq()).await.pop()
    })
    .await;
    status.stop().await;
    assert_eq!(verify(&system.world, &[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_with_one_idempotency_key_are_both_reported() {
    let system = delivered(2).await;
    let (order, double) = (any_order(&system.world).await, Uuid::now_v7());
    let doubled = format!(
        "ALTER TABLE sales.orders DROP CONSTRAINT orders_owner_idempotency_key_key;
         INSERT INTO sales.orders
         SELECT '{double}', owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at
         FROM sales.orders WHERE id = '{order}'"
    );
    system.world.database.execute(&doubled).await;
    let (code, report) = verify(&system.world, &[]).await;
    assert_eq!(code, 3);
    let named: Vec<_> = cases(&report, "I3").into_iter().map(|(order, _)| order.unwrap()).collect();
    assert_eq!(named, [order, double.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_missing_from_the_history_is_a_violation() {
    let system = delivered(2).await;
    let order = any_order(&system.world).await;
    let delete = format!(
        "DELETE FROM sales.order_status_history WHERE order_id = '{order}' AND sequence = 2"
    );
    system.world.database.execute(&delete).await;
    let words = "is Delivered, and its history has 0 rows for Shipped";
    assert_broken(&system.world, &[], &["I4"], &order, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_premature_and_orphaned_shipments_are_violations() {
    let system = delivered(2).await;
    let (world, order) = (&system.world, any_order(&system.world).await);
    let row =
        format!("CREATE TABLE kept AS SELECT * FROM delivery.shipments WHERE order_id = '{order}'");
    let gone = format!("{row}; DELETE FROM delivery.shipments WHERE order_id = '{order}'");
    world.database.execute(&gone).await;
    let words = "has no shipment, though delivery-service has consumed its order.created";
    assert_broken(world, &[], &["I4"], &order, words).await;
    world.database.execute("INSERT INTO delivery.shipments SELECT * FROM kept").await;
    assert_eq!(verify(world, &[]).await.0, 0);

    let unknown_order = Uuid::now_v7();
    let insert = format!(
        "INSERT INTO delivery.shipments (order_id, next_step_at) VALUES ('{unknown_order}', now() + interval '1 day')"
    );
    world.database.execute(&insert).await;
    let words = "has a shipment, and the order does not exist";
    assert_broken(world, &[], &["I4"], &unknown_order.to_string(), words).await;
    world
        .database
        .execute(&format!("DELETE FROM delivery.shipments WHERE order_id = '{unknown_order}'"))
        .await;

    let order = system.accept().await;
    let ahead = format!(
        "INSERT INTO delivery.shipments (order_id, state, next_step_at) VALUES ('{order}', 'Shipped', now() + interval '1 day')"
    );
    world.database.execute(&ahead).await;
    let words = "its shipment is Shipped, and order.shipped is not in its topic";
    assert_broken(world, &[], &["I4", "I6"], &order, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_stored_out_of_order_are_a_violation() {
    let system = delivered(2).await;
    let (world, order) = (&system.world, any_order(&system.world).await);
    let earlier = format!(
        "UPDATE sales.order_status_history SET recorded_at = recorded_at - interval '1 day'
         WHERE order_id = '{order}' AND sequence = 3"
    );
    world.database.execute(&earlier).await;
    assert_broken(world, &[], &["I5"], &order, "Delivered was stored before Shipped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_out_of_order_in_their_topic_are_a_violation() {
    let system = delivered(2).await;
    let order = system.accept().await;
    report_step(&system.world, &order, DeliveryStep::Delivered, DELIVERY_VERSION).await;
    assert_eq!(verify(&system.world, &[]).await.0, 0, "the first step may have left the topic");
    report_step(&system.world, &order, DeliveryStep::Shipped, DELIVERY_VERSION).await;
    let words = "its first order.delivered comes before its first order.shipped";
    assert_broken(&system.world, &[], &["I5"], &order, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_pending_work_is_lost() {
    let system = System::start().await;
    let (relay, delivery) = (system.start_relay(), system.start_delivery());
    let order = system.accept().await;
    let state = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    system.world.database.until_count("all steps are published", state, 1).await;
    let status = system.start_status();
    let status_of = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";
    system.world.database.until_count("all steps are applied", status_of, 1).await;
    // A service commits its offsets when it stops.
    for service in [relay, delivery, status] {
        service.stop().await;
    }
    let undo = "UPDATE sales.orders SET status = 'Shipped';
        DELETE FROM sales.order_status_history WHERE sequence = 3";
    system.world.database.execute(undo).await;
    let words = "is Shipped, and no pending event or step can advance it";
    assert_broken(&system.world, &[], &["I6"], &order, words).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_or_altered_dead_letter_is_a_violation() {
    let system = delivered(2).await;
    let (stack, topics) = (&system.world.stack, &system.world.topics);
    let own = [("x".to_owned(), "y".to_owned())];
    produce(stack, &topics.delivery_events, "poison", Some("{"), &own).await;
    let records = read_all(stack, &topics.delivery_events).await;
    let poison = records.iter().find(|it| it.key.as_deref() == Some(b"poison")).unwrap();
    let added = [
        ("dlq-original-topic", topics.delivery_events.clone()),
        ("dlq-original-partition", poison.partition.to_string()),
        ("dlq-original-offset", poison.offset.to_string()),
        ("dlq-original-timestamp", String::new()),
        ("dlq-error-class", "invalid-value".to_owned()),
        ("dlq-error-message", "no".to_owned()),
        ("dlq-first-failed-at", "2026-03-01T12:00:00.000Z".to_owned()),
        ("dlq-redrive-count", "0".to_owned()),
    ];
    let added = added.map(|(name, value)| (name.to_owned(), value));
    let (letters, whole) = (topics.delivery_events_dlq(), [&own[..], &added].concat());
    produce(stack, &letters, "poison", Some("{"), &whole).await;
    assert_eq!(verify(&system.world, &[]).await.0, 0);

    for (value, headers) in [("[", &whole[..]), ("{", &whole[1..]), ("{", &whole[..8])] {
        produce(stack, &letters, "poison", Some(value), headers).await;
    }
    let (code, report) = verify(&system.world, &[]).await;
    assert_eq!((code, super::broken(&report)), (3, vec!["I7"]), "{report:#}");
    let mut words: Vec<_> = cases(&report, "I7").into_iter().map(|(_, what)| what).collect();
    words.sort();
    let place = format!("{} {}/{}", topics.delivery_events, poison.partition, poison.offset);
    let mut expected = [
        format!("dead letter 1 differs from {place} in its value"),
        format!("dead letter 2 differs from {place} in its headers"),
        format!("{letters} 0/3 has no dlq-redrive-count"),
    ];
    expected.sort();
    assert_eq!(words, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_record_no_longer_accounts_for_its_order_and_repair_sends_its_event_again() {
    let system = delivered(2).await;
    let (world, order) = (&system.world, any_order(&system.world).await);
    let topics = &world.topics;
    let delivered = read_all(&world.stack, &topics.delivery_events).await;
    let is_last = |it: &Record| {
        it.key.as_deref() == Some(order.as_bytes())
            && it.header("ce_type") == Some(b"order.delivered")
    };
    let record = delivered.into_iter().find(is_last).unwrap();
    let letters =
        DeadLetters::new(&world.config(), &topics.delivery_events, &topics.status_group).unwrap();
    let reason =
        DeadLetterReason { class: "panic", message: "no".to_owned(), quotes_record: false };
    letters.store(&record, &reason).await.unwrap();
    let undo = format!(
        "UPDATE sales.orders SET status = 'Shipped' WHERE id = '{order}';
         DELETE FROM sales.order_status_history WHERE order_id = '{order}' AND status = 'Delivered'"
    );
    world.database.execute(&undo).await;
    assert_eq!(verify(world, &[]).await.0, 0);

    let dlq = topics.delivery_events_dlq();
    let discard = ["dlq", "discard", &dlq, "--yes", "--reason", "a mistake"];
    assert_eq!(answer(world, &discard).await["discarded"], 1);
    let (code, report) = verify(world, &[]).await;
    assert_eq!(code, 3, "{report:#}");
    answer(world, &["repair", "--yes"]).await;
    let (relay, consumer) = (system.start_relay(), system.start_status());
    let status =
        format!("SELECT count(*) FROM sales.orders WHERE id = '{order}' AND status = 'Delivered'");
    world.database.until_count("it is delivered", &status, 1).await;
    relay.stop().await;
    consumer.stop().await;
    assert_eq!(verify(world, &[]).await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_accounts_for_its_order_only_until_it_is_redriven() {
    let mut world = World::create().await;
    world.set("DELIVERY_MIN_DELAY", 3_600_000).set("DELIVERY_MAX_DELAY", 3_600_000);
    let system = System::start_in(world);
    let (world, order) = (&system.world, system.accept().await);
    let relay = system.start_relay();
    let outbox = "SELECT count(*) FROM sales.outbox_events";
    world.database.until_count("it is published", outbox, 0).await;
    relay.stop().await;
    // delivery-service reads the order, and its shipment is deleted.
    let lose = async || {
        let delivery = system.start_delivery();
        let shipments = "SELECT count(*) FROM delivery.shipments";
        world.database.until_count("it is read", shipments, 1).await;
        delivery.stop().await;
        world.database.execute("DELETE FROM delivery.shipments").await;
    };
    lose().await;
    let topics = &world.topics;
    let letters =
        DeadLetters::new(&world.config(), &topics.order_events, &topics.delivery_group).unwrap();
    let reason =
        DeadLetterReason { class: "panic", message: "no".to_owned(), quotes_record: false };
    let record = read_all(&world.stack, &world.topics.order_events).await.remove(0);
    letters.store(&record, &reason).await.unwrap();
    let (code, report) = verify(world, &[]).await;
    assert_eq!(code, 0, "{report:#}");

    let dlq = world.topics.order_events_dlq();
    assert_eq!(answer(world, &["dlq", "redrive", &dlq, "--yes"]).await["sent"], 1);
    lose().await;
    assert_broken(world, &[], &["I4", "I6"], &order, "shipment").await;
}
