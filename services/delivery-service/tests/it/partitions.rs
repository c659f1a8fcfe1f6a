//! One of twelve partitions has no leader.

use delivery_service::build;
use test_kit::{PrivateStack, World, eventually, read_all};

use crate::shop::delivered;

/// Replicas on three brokers: the third has only the last partition, which no other broker has.
const REPLICAS: &str = "1,2,1,2,1,2,1,2,1,2,1,3";
const ORDERS: i64 = 1_500;

async fn ship(world: &World, orders: i64) {
    let insert = format!(
        "INSERT INTO delivery.shipments (order_id, next_step_at)
         SELECT gen_random_uuid(), now() FROM generate_series(1, {orders})"
    );
    world.database.execute(&insert).await;
}

async fn until_most_are_delivered(world: &World, orders: i64) {
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    // About a twelfth of them cannot be delivered.
    eventually("the others are delivered", async || {
        (world.database.count(done).await >= orders * 5 / 6).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_delays_only_its_own_orders() {
    let stack = PrivateStack::start_with_brokers("test-shipping", 3);
    let mut world = World::create_on(stack.addresses()).await;
    let topic = format!("{}-spread", world.topics.delivery_events);
    let create = ["--create", "--topic", &topic, "--replica-assignment", REPLICAS];
    stack.kafka_tool("TopicCommand", &create);
    world.set("DELIVERY_EVENTS_TOPIC", &topic);
    stack.stop("kafka-3");
    let service = world.start(build);
    ship(&world, ORDERS).await;
    until_most_are_delivered(&world, ORDERS).await;
    // Orders that arrive while others are deferred pass them too.
    ship(&world, ORDERS).await;
    until_most_are_delivered(&world, 2 * ORDERS).await;
    let left = "SELECT count(*) FROM delivery.shipments WHERE state <> 'Delivered'";
    assert!(world.database.count(left).await > ORDERS / 12);
    stack.start_again("kafka-3");
    delivered(&world, 2 * ORDERS).await;
    service.stop().await;
    let mut ids: Vec<_> = read_all(&world.stack, &topic)
        .await
        .iter()
        .map(|record| record.header("ce_id").unwrap().to_vec())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(i64::try_from(ids.len()).unwrap(), 4 * ORDERS);
}
