use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::OrderId;
use test_kit::{Group, World, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::recorder::{Choice, Recorder, group, produce, start};

/// Polls the committed offsets until `stop`, and fails if one decreases. Returns how often they
/// grew.
fn watch_offsets(group: Group, stop: CancellationToken) -> JoinHandle<usize> {
    tokio::spawn(async move {
        let (mut before, mut growths) = (BTreeMap::new(), 0);
        while !stop.is_cancelled() {
            let now = group.committed().await;
            for (partition, offset) in &before {
                let current = now.get(partition);
                assert!(current >= Some(offset), "{partition} went from {offset} to {current:?}");
            }
            growths += usize::from(now != before);
            before = now;
        }
        growths
    })
}

/// Produces events of new orders until `stop`. Returns the orders.
fn keep_producing(world: Arc<World>, stop: CancellationToken) -> JoinHandle<Vec<OrderId>> {
    tokio::spawn(async move {
        let mut orders = Vec::new();
        while !stop.is_cancelled() {
            orders.extend(produce(&world, 20).await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        orders
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_committed_offset_never_goes_back() {
    let world = Arc::new(World::create().await);
    let (group, recorder) = (group(&world), Recorder::default());
    let (enough, all_seen) = (CancellationToken::new(), CancellationToken::new());
    let reporter = keep_producing(world.clone(), enough.clone());
    let watcher = watch_offsets(group.clone(), all_seen.clone());

    let mut old = start(&world, &recorder, Choice::default());
    for _ in 0..4 {
        let new = start(&world, &recorder, Choice::default());
        group.until_settled(2).await;
        old.stop().await;
        group.until_settled(1).await;
        old = new;
    }
    enough.cancel();
    let orders = reporter.await.unwrap();
    recorder.ledger.until_handled(&orders).await;
    group.until_all_is_committed().await;
    old.stop().await;
    all_seen.cancel();

    // No record was lost, and a member that leaves cleanly hands over no record that it has
    // handled.
    recorder.ledger.assert_each_once(&orders);
    assert!(watcher.await.unwrap() > 4);
    assert_eq!(group.committed().await, group.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_during_a_rebalance_commits_all_that_it_handled() {
    let world = Arc::new(World::create().await);
    let (group, recorder) = (group(&world), Recorder::default());
    let enough = CancellationToken::new();
    let reporter = keep_producing(world.clone(), enough.clone());
    let mut old = start(&world, &recorder, Choice::default());
    group.until_settled(1).await;
    for _ in 0..8 {
        // As in a rollout: the next member has started, and the old one stops before the partitions
        // are reassigned.
        let new = start(&world, &recorder, Choice::default());
        // On a slow machine the rebalance can end before the first poll.
        eventually("the group is being rebalanced, or was", async || {
            let (stable, members) = group.members().await;
            (!stable || members.len() > 1).then_some(())
        })
        .await;
        old.stop().await;
        old = new;
        group.until_settled(1).await;
    }
    enough.cancel();
    let orders = reporter.await.unwrap();
    recorder.ledger.until_handled(&orders).await;
    old.stop().await;
    recorder.ledger.assert_each_once(&orders);
    assert_eq!(group.committed().await, group.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_revoked_during_a_wait_are_neither_handled_again_nor_stored() {
    let world = World::create().await;
    let group = group(&world);
    let (waiting, working) = (Recorder::default(), Recorder::default());
    // The first batch is blocked until the client has fetched from every partition, so that the
    // second batch, which waits, has records of all of them.
    let closed = waiting.gate.clone().write_owned().await;
    let mut orders = produce(&world, 60).await;
    let first = start(&world, &waiting, Choice::default());
    eventually("the first batch has begun", async || (!waiting.calls().is_empty()).then_some(()))
        .await;
    orders.extend(produce(&world, 60).await);
    group.until_settled(1).await;
    waiting.set_unavailable_after(1);
    drop(closed);
    orders.extend(produce(&world, 60).await);
    let waits = eventually("a batch waits", async || {
        let (last_batch, handled) = (waiting.last_batch(), waiting.ledger.handled());
        // Whether the failing call has begun.
        let fails = waiting.calls().len() > 1;
        (fails && last_batch.iter().all(|order| !handled.contains_key(order))).then_some(last_batch)
    })
    .await;

    // Some partitions move to another member, which handles their records.
    let second = start(&world, &working, Choice::default());
    group.until_settled(2).await;
    eventually("the other member has handled a part of the waiting batch", async || {
        let handled = working.ledger.handled();
        waits.iter().any(|order| handled.contains_key(order)).then_some(())
    })
    .await;
    // Then they return to the first member, which still has the old batch.
    second.stop().await;
    group.until_settled(1).await;
    waiting.set_unavailable(false);
    group.until_all_is_committed().await;
    first.stop().await;

    for recorder in [&waiting, &working] {
        let own: Vec<OrderId> = recorder.ledger.handled().into_keys().collect();
        recorder.ledger.assert_each_once(&own);
    }
    let both = waiting.ledger.handled().len() + working.ledger.handled().len();
    assert_eq!(both, orders.len(), "each order must be handled by exactly one member");
    assert_eq!(group.committed().await, group.ends().await);
}
