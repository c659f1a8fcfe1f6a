use std::collections::BTreeMap;

use domain::DeliveryStep::{Delivered, Shipped};
use test_kit::{Group, Process, World, eventually, produce_all};

use crate::shop::{place, step};

const BINARY: &str = env!("CARGO_BIN_EXE_status-consumer");

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_and_go_and_are_killed_apply_each_step_once() {
    let mut world = World::create().await;
    world.set("CONSUMER_SESSION_TIMEOUT", 6000);
    let group = Group::new(&world.stack, &world.topics.status_group, &world.topics.delivery_events);
    let (mut committed, mut orders) = (BTreeMap::new(), 0);
    let mut members = vec![Process::start(BINARY, &world).await];
    for round in 0..6 {
        for _ in 0..20 {
            let order = place(&world).await;
            orders += 1;
            let steps = [step(order, Shipped), step(order, Delivered), step(order, Shipped)];
            produce_all(&world.stack, &world.topics.delivery_events, &steps).await;
        }
        members.push(Process::start(BINARY, &world).await);
        let oldest = members.remove(0);
        if round % 2 == 0 {
            oldest.kill();
        } else {
            assert!(oldest.terminate().await.success());
        }
        let now = group.committed().await;
        for (partition, offset) in &committed {
            assert!(now.get(partition) >= Some(offset), "{partition} was at {offset}: {now:?}");
        }
        committed = now;
    }
    let done = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";
    eventually("all are delivered", async || {
        (world.database.count(done).await == orders).then_some(())
    })
    .await;
    // Pending, shipped, delivered: the key of the history allows each once, so none is missing and none came twice.
    let steps = world.database.count("SELECT count(*) FROM sales.order_status_history").await;
    assert_eq!(steps, 3 * orders);
    assert_eq!(world.database.count("SELECT count(*) FROM sales.inbox").await, 2 * orders);
}
