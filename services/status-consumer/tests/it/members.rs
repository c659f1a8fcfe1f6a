use std::collections::BTreeMap;

use domain::DeliveryStep::{Delivered, Shipped};
use test_kit::{Group, Process, World, eventually, produce_all};

use crate::shop::{place, step};

const BINARY: &str = env!("CARGO_BIN_EXE_status-consumer");

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_applied_once_while_members_join_leave_and_die() {
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
    // The key of the history allows each of the three statuses once, so none is missing or
    // duplicated.
    let steps = world.database.count("SELECT count(*) FROM sales.order_status_history").await;
    assert_eq!(steps, 3 * orders);
}
