//! One of twelve partitions has no leader.

use std::collections::{BTreeMap, HashSet};

use contracts::message::EventMessage;
use domain::OrderId;
use outbox_relay::build;
use test_kit::{PrivateStack, World, eventually, outbox_event, put_into_outbox, read_all};

use crate::outbox::waiting;

const ORDERS: usize = 6_000;
/// Replicas on three brokers: the third has only the last partition, which no other broker has.
const REPLICAS: &str = "1,2,1,2,1,2,1,2,1,2,1,3";
const DEAD: i32 = 11;

fn events(world: &World, topic: &str, orders: &[OrderId], payload: &str) -> Vec<EventMessage> {
    let event = |order: &OrderId| EventMessage {
        topic: topic.to_owned(),
        ..outbox_event(world, *order, payload)
    };
    orders.iter().map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_delays_only_its_own_orders() {
    let stack = PrivateStack::start_with_brokers("test-partitions", 3);
    let world = World::create_on(stack.addresses()).await;
    let topic = format!("{}-spread", world.topics.order_events);
    stack.kafka_tool(
        "TopicCommand",
        &["--create", "--topic", &topic, "--replica-assignment", REPLICAS],
    );
    let orders: Vec<OrderId> = std::iter::repeat_with(OrderId::generate).take(ORDERS).collect();
    let relay = world.start(build);

    put_into_outbox(&world, &events(&world, &topic, &orders, "1")).await;
    eventually("all are published", async || (waiting(&world).await == 0).then_some(())).await;
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
    // Events that arrive while others are deferred pass them too.
    let late: Vec<OrderId> =
        orders.iter().filter(|order| !dead.contains(&order.to_string())).copied().collect();
    put_into_outbox(&world, &events(&world, &topic, &late, "3")).await;
    eventually("late ones are published", async || (waiting(&world).await == left).then_some(()))
        .await;

    stack.start_again("kafka-3");
    eventually("all are published", async || (waiting(&world).await == 0).then_some(())).await;
    let dead_letters = "SELECT count(*) FROM sales.outbox_dead_letters";
    assert_eq!(world.database.count(dead_letters).await, 0);
    let mut values = BTreeMap::<Vec<u8>, Vec<u8>>::new();
    for record in read_all(&world.stack, &topic).await {
        values.entry(record.key.unwrap()).or_default().extend(record.value.unwrap());
    }
    for order in &orders {
        let order = order.to_string();
        let expected: &[u8] = if dead.contains(&order) { b"12" } else { b"123" };
        // A record whose acknowledgement was lost is written again.
        let mut written = values.remove(order.as_bytes()).unwrap();
        written.dedup();
        assert_eq!(written, expected, "{order}");
    }
    relay.stop().await;
}
