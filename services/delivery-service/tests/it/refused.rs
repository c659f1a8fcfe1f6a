//! Steps that Kafka can never accept as they are.

use contracts::delivery_events::ORDER_SHIPPED;
use domain::{OrderId, OrderStatus};
use messaging::Record;
use test_kit::{World, eventually, limit_records, metrics, produce_all, read_all};
use uuid::Uuid;

use crate::shop::{TRACE, created, created_in, delivered, start_with_port};

/// More than a step of an order without a `tracestate` takes, and less than one with the longest.
const LIMIT: u32 = 900;
/// Less than any step takes.
const NOTHING_PASSES: u32 = 200;
const ENOUGH: u32 = 1_000_000;

/// The longest `tracestate`, which does not compress to much less.
fn tracestate() -> String {
    let random: String = (0..15).map(|_| Uuid::new_v4().simple().to_string()).collect();
    format!("vendor={random}")
}

fn is_of(record: &Record, order: OrderId) -> bool {
    record.key.as_deref() == Some(order.to_string().as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_kafka_can_never_accept_is_put_aside_and_goes_on_once_it_is_put_back() {
    let world = World::create().await;
    let topic = &world.topics.delivery_events;
    limit_records(&world.stack, topic, LIMIT).await;
    let large = OrderId::generate();
    let mut orders: Vec<_> = (0..30).map(|_| created(OrderId::generate())).collect();
    orders.insert(15, created_in(large, TRACE, Some(tracestate())));
    produce_all(&world.stack, &world.topics.order_events, &orders).await;

    let (service, port) = start_with_port(&world);
    delivered(&world, 30).await;
    eventually("the step is put aside, and shown", async || {
        let text = metrics(port).await;
        let shown = ["delivery_dead_letters_waiting 1", "delivery_dead_letters_total 1"];
        shown.iter().all(|line| text.lines().any(|it| it == *line)).then_some(())
    })
    .await;
    let mut connection = world.store().connection().await.unwrap();
    let refused = store::shipments::refused(&mut connection, None, 10).await.unwrap();
    let [step] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!((step.order_id, step.step.target()), (large, OrderStatus::Shipped));
    assert!(step.reason.contains("MessageSizeTooLarge"), "{}", step.reason);
    assert!(!read_all(&world.stack, topic).await.iter().any(|record| is_of(record, large)));

    limit_records(&world.stack, topic, ENOUGH).await;
    assert_eq!(store::shipments::put_back(&mut connection, &[large]).await.unwrap(), 1);
    delivered(&world, 31).await;
    service.stop().await;
    let records = read_all(&world.stack, topic).await;
    let mut of_large = records.iter().filter(|record| is_of(record, large));
    let shipped = of_large.next().unwrap();
    assert_eq!(shipped.header("ce_type"), Some(ORDER_SHIPPED.as_bytes()));
    let at = contracts::timestamp_text(step.at);
    assert_eq!(shipped.header("ce_time"), Some(at.as_bytes()), "it is the event that was refused");
    assert_eq!(of_large.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_refuses_most_steps_none_is_put_aside() {
    let world = World::create().await;
    let topic = &world.topics.delivery_events;
    let (service, port) = start_with_port(&world);
    // It has seen enough to tell a wrong setting from records at fault.
    let orders: Vec<_> = (0..25).map(|_| created(OrderId::generate())).collect();
    produce_all(&world.stack, &world.topics.order_events, &orders).await;
    delivered(&world, 25).await;
    service.stop().await;

    limit_records(&world.stack, topic, NOTHING_PASSES).await;
    let orders: Vec<_> = (0..60).map(|_| created(OrderId::generate())).collect();
    produce_all(&world.stack, &world.topics.order_events, &orders).await;
    let (service, again) = start_with_port(&world);
    assert_ne!(port, again);
    eventually("steps are deferred", async || {
        let text = metrics(again).await;
        let deferrals = text.lines().find_map(|it| it.strip_prefix("delivery_deferrals_total "));
        (deferrals?.parse::<u32>().unwrap() >= 60).then_some(())
    })
    .await;
    let put_aside = "SELECT count(*) FROM delivery.shipments WHERE refused_step_at IS NOT NULL";
    assert_eq!(world.database.count(put_aside).await, 0);
    limit_records(&world.stack, topic, ENOUGH).await;
    delivered(&world, 85).await;
    service.stop().await;
}
