//! Steps that Kafka can never accept as they are.

use contracts::delivery_events::ORDER_SHIPPED;
use delivery_service::build;
use domain::OrderId;
use messaging::Record;
use test_kit::{Process, World, eventually, limit_records, metrics, produce_all, read_all};
use uuid::Uuid;

use crate::shop::{created, created_with, delivered};

/// Record limit, in bytes: enough for a step without a `tracestate`, too small for one with the
/// longest.
const LIMIT: u32 = 900;
/// Record limit that is too small for any step.
const NOTHING_PASSES: u32 = 200;
const ENOUGH: u32 = 1_000_000;

/// The longest `tracestate`, which hardly compresses.
fn tracestate() -> String {
    let random: String = (0..15).map(|_| Uuid::new_v4().simple().to_string()).collect();
    format!("vendor={random}")
}

fn is_of(record: &Record, order: OrderId) -> bool {
    record.key.as_deref() == Some(order.to_string().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_step_is_dead_lettered_and_continues_after_a_redrive() {
    let world = World::create().await;
    let topic = &world.topics.delivery_events;
    limit_records(&world.stack, topic, LIMIT).await;
    let large = OrderId::generate();
    let mut orders: Vec<_> = (0..30).map(|_| created(OrderId::generate())).collect();
    orders.insert(15, created_with(large, Some(tracestate())));
    produce_all(&world.stack, &world.topics.order_events, &orders).await;

    let service = Process::start(env!("CARGO_BIN_EXE_delivery-service"), &world).await;
    delivered(&world, 30).await;
    eventually("the step is dead-lettered and counted", async || {
        let text = metrics(service.management_port()).await;
        let shown = ["waiting", "total"]
            .map(|of| format!("queue_dead_letters_{of}{{queue=\"shipments\"}} 1"));
        shown.iter().all(|line| text.lines().any(|it| it == line)).then_some(())
    })
    .await;
    let mut connection = world.store().connection().await.unwrap();
    let refused = store::shipments::refused(&mut connection, None, 10).await.unwrap();
    let [step] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!((step.order_id, step.event.event_type()), (large, ORDER_SHIPPED));
    assert!(step.reason.contains("MessageSizeTooLarge"), "{}", step.reason);
    assert!(!read_all(&world.stack, topic).await.iter().any(|record| is_of(record, large)));

    limit_records(&world.stack, topic, ENOUGH).await;
    assert_eq!(store::shipments::redrive(&mut connection, Some(large), 10).await.unwrap(), 1);
    delivered(&world, 31).await;
    assert!(service.terminate().await.success());
    let records = read_all(&world.stack, topic).await;
    let mut of_large = records.iter().filter(|record| is_of(record, large));
    let shipped = of_large.next().unwrap();
    assert_eq!(shipped.header("ce_type"), Some(ORDER_SHIPPED.as_bytes()));
    let at = contracts::timestamp_text(step.at);
    assert_eq!(shipped.header("ce_time"), Some(at.as_bytes()), "not the event that was refused");
    assert_eq!(of_large.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_kafka_refuses_most_steps_only_the_first_few_are_dead_lettered() {
    let world = World::create().await;
    limit_records(&world.stack, &world.topics.delivery_events, NOTHING_PASSES).await;
    let due = "INSERT INTO delivery.shipments (order_id, next_step_at)
        SELECT gen_random_uuid(), now() FROM generate_series(1, 60)";
    world.database.execute(due).await;
    let service = world.start(build);
    // The poison breaker needs 20 outcomes, and the responses may arrive a few at a time.
    let deferred = "SELECT count(*) FROM delivery.shipments
        WHERE next_step_at IS NOT NULL AND next_attempt_at > '-infinity'";
    eventually("the others are deferred", async || {
        (world.database.count(deferred).await > 40).then_some(())
    })
    .await;
    let refused = "SELECT count(*) FROM delivery.shipments WHERE refused_step_at IS NOT NULL";
    assert!(world.database.count(refused).await < 20);

    limit_records(&world.stack, &world.topics.delivery_events, ENOUGH).await;
    eventually("all are delivered", async || {
        let mut connection = world.store().connection().await.unwrap();
        store::shipments::redrive(&mut connection, None, 100).await.unwrap();
        let delivered = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
        (world.database.count(delivered).await == 60).then_some(())
    })
    .await;
    service.stop().await;
}
