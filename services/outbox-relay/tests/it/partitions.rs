//! A partition without a leader, of twelve.

use std::collections::{BTreeMap, HashSet};

use domain::OrderId;
use outbox_relay::Application;
use store::outbox::OutboxEvent;
use test_kit::{PrivateStack, Running, World, eventually, outbox_event, put_into_outbox, read_all};

use crate::outbox::waiting;

const ORDERS: usize = 6_000;
/// On three brokers, of which only the third has the last partition, and nothing else.
const REPLICAS: &str = "1,2,1,2,1,2,1,2,1,2,1,3";
const DEAD: i32 = 11;

fn events(world: &World, topic: &str, orders: &[OrderId], payload: &str) -> Vec<OutboxEvent> {
    let event = |order: &OrderId| OutboxEvent {
        topic: topic.to_owned(),
        ..outbox_event(world, *order, payload)
    };
    orders.iter().map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_holds_up_its_own_orders_and_no_others() {
    let stack = PrivateStack::start_with_brokers("test-partitions", 3);
    let world = World::create_on(stack.addresses()).await;
    let topic = format!("{}-spread", world.topics.order_events);
    stack.kafka_tool(
        "TopicCommand",
        &["--create", "--topic", &topic, "--replica-assignment", REPLICAS],
    );
    let orders: Vec<OrderId> = std::iter::repeat_with(OrderId::generate).take(ORDERS).collect();
    let application = Application::build(&world.config()).unwrap();
    let relay = Running::start(|shutdown| application.run(shutdown));

    put_into_outbox(&world, &events(&world, &topic, &orders, "1")).await;
    eventually("all is published", async || (waiting(&world).await == 0).then_some(())).await;
    let records = read_all(&world.stack, &topic).await;
    let dead: HashSet<String> = records
        .iter()
        .filter(|record| record.partition == DEAD)
        .map(|record| String::from_utf8(record.key.clone().unwrap()).unwrap())
        .collect();
    assert!((ORDERS / 24..ORDERS / 6).contains(&dead.len()), "{}", dead.len());

    stack.stop("kafka-3");
    put_into_outbox(&world, &events(&world, &topic, &orders, "2")).await;
    let left = i64::try_from(dead.len()).unwrap();
    eventually("the others are published", async || (waiting(&world).await == left).then_some(()))
        .await;
    let rows = world.database.query("SELECT aggregate_id::text FROM sales.outbox_events").await;
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<HashSet<String>>(), dead);
    // Those that come while some are known to wait pass them as well.
    let late: Vec<OrderId> =
        orders.iter().filter(|order| !dead.contains(&order.to_string())).copied().collect();
    put_into_outbox(&world, &events(&world, &topic, &late, "3")).await;
    eventually("late ones are published", async || (waiting(&world).await == left).then_some(()))
        .await;

    stack.bring_back("kafka-3");
    eventually("all is published", async || (waiting(&world).await == 0).then_some(())).await;
    let put_aside = "SELECT count(*) FROM sales.outbox_dead_letters";
    assert_eq!(world.database.count(put_aside).await, 0);
    let mut values = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for record in read_all(&world.stack, &topic).await {
        values.entry(record.key.unwrap()).or_default().extend(record.value.unwrap());
    }
    for order in &orders {
        let order = order.to_string();
        let expected: &[u8] = if dead.contains(&order) { b"12" } else { b"123" };
        // A record that was written though its answer was lost is written again.
        let mut written = values.remove(order.as_bytes()).unwrap();
        written.dedup();
        assert_eq!(written, expected, "{order}");
    }
    relay.stop().await;
}
