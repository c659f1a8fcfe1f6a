use domain::DeliveryStep::Shipped;
use status_consumer::{Reaper, build};
use test_kit::World;

use crate::shop::{place, report, until_inbox_contains};

const INBOX: &str = "SELECT count(*) FROM sales.inbox";

/// Inserts events into the inbox that were received `seconds_younger` seconds after the time 8 days
/// ago.
async fn receive(world: &World, events: u32, seconds_younger: i32) {
    let insert = format!(
        "INSERT INTO sales.inbox
         SELECT gen_random_uuid(), now() - interval '8 days' + {seconds_younger} * interval '1 s'
         FROM generate_series(1, {events})"
    );
    world.database.execute(&insert).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_events_older_than_the_retention_are_reaped() {
    let world = World::create().await;
    receive(&world, 20, -1).await;
    receive(&world, 30, 60).await;
    let reaper = Reaper::new(&world.config(), world.store());
    assert_eq!(reaper.run_once().await.unwrap(), 20);
    assert_eq!(reaper.run_once().await.unwrap(), 0);
    assert_eq!(world.database.count(INBOX).await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn reapers_work_concurrently_in_small_batches() {
    let world = World::create().await;
    receive(&world, 2500, -1).await;
    let reapers = [(); 2].map(|()| Reaper::new(&world.config(), world.store()));
    let (first, second) = tokio::join!(reapers[0].run_once(), reapers[1].run_once());
    let both = (first.unwrap(), second.unwrap());
    // Concurrent reapers delete different events.
    assert_eq!(both, (1000, 1000));
    assert_eq!(reapers[0].run_once().await.unwrap(), 500);
    assert_eq!(world.database.count(INBOX).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reaping_uses_its_index() {
    let world = World::create().await;
    let plan = world
        .database
        .generic_plan(
            "SELECT event_id FROM sales.inbox WHERE received_at < now() - $1 * interval '1 ms'
             ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        )
        .await;
    assert!(plan.contains("Index Scan using inbox_received_at"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_service_reaps_its_inbox() {
    let world = World::create().await;
    receive(&world, 2500, -1).await;
    let service = world.start(build);
    let order = place(&world).await;
    report(&world, order, Shipped).await;
    // All old events are deleted, and the new one is not.
    until_inbox_contains(&world, 1).await;
    service.stop().await;
}
