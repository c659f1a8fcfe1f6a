//! A partition without a leader, of twelve.

use test_kit::{PrivateStack, World, eventually, read_all};

use crate::shop::{delivered, start};

/// On three brokers, of which only the third has the last partition, and nothing else.
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
    // A twelfth of them cannot be, give or take what chance does.
    eventually("the others are delivered", async || {
        (world.database.count(done).await >= orders * 5 / 6).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_without_a_leader_holds_up_its_own_orders_and_no_others() {
    let stack = PrivateStack::start_with_brokers("test-shipping", 3);
    let mut world = World::create_on(stack.addresses()).await;
    let topic = format!("{}-spread", world.topics.delivery_events);
    let create = ["--create", "--topic", &topic, "--replica-assignment", REPLICAS];
    stack.kafka_tool("TopicCommand", &create);
    world.set("DELIVERY_EVENTS_TOPIC", &topic);
    stack.stop("kafka-3");
    let service = start(&world);
    ship(&world, ORDERS).await;
    until_most_are_delivered(&world, ORDERS).await;
    // Those that come while some are known to wait pass them as well.
    ship(&world, ORDERS).await;
    until_most_are_delivered(&world, 2 * ORDERS).await;
    let left = "SELECT count(*) FROM delivery.shipments WHERE state <> 'Delivered'";
    assert!(world.database.count(left).await > ORDERS / 12);
    stack.bring_back("kafka-3");
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
