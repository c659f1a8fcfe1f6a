use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::OrderId;
use test_kit::{Group, World, eventually};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::recorder::{Choice, Recorder, group, report, start};

/// Looks at the committed offsets again and again until it is told to stop; returns how many looks saw them grow.
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

/// Reports orders without a break until it is told to stop; returns them.
fn keep_reporting(world: Arc<World>, stop: CancellationToken) -> JoinHandle<Vec<OrderId>> {
    tokio::spawn(async move {
        let mut orders = Vec::new();
        while !stop.is_cancelled() {
            orders.extend(report(&world, 20).await);
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
    let reporter = keep_reporting(world.clone(), enough.clone());
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

    // None was lost, and a member that leaves cleanly hands over no record that it has handled.
    recorder.ledger.assert_each_once(&orders);
    assert!(watcher.await.unwrap() > 4);
    assert_eq!(group.committed().await, group.ends().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_in_the_middle_of_a_rebalance_hands_over_nothing_that_was_handled() {
    let world = Arc::new(World::create().await);
    let (group, recorder) = (group(&world), Recorder::default());
    let enough = CancellationToken::new();
    let reporter = keep_reporting(world.clone(), enough.clone());
    let mut old = start(&world, &recorder, Choice::default());
    group.until_settled(1).await;
    for _ in 0..8 {
        // As in a rollout: the next one is there, and nobody waits until it has its share.
        let new = start(&world, &recorder, Choice::default());
        // On a slow machine it can be over before anybody has looked.
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
async fn what_was_handed_over_during_a_wait_is_neither_handled_again_nor_stored() {
    let world = World::create().await;
    let group = group(&world);
    let (waiting, working) = (Recorder::default(), Recorder::default());
    // The first batch is held up until the client has fetched from every partition, so that the second one, which has
    // to wait, has records of each in it.
    let closed = waiting.gate.clone().write_owned().await;
    let mut orders = report(&world, 60).await;
    let first = start(&world, &waiting, Choice::default());
    eventually("the first batch is in hand", async || (!waiting.calls().is_empty()).then_some(()))
        .await;
    orders.extend(report(&world, 60).await);
    group.until_settled(1).await;
    waiting.set_away_after(1);
    drop(closed);
    orders.extend(report(&world, 60).await);
    let waits = eventually("a batch waits", async || {
        let (in_hand, handled) = (waiting.in_hand(), waiting.ledger.handled());
        // The call that fails has come.
        let fails = waiting.calls().len() > 1;
        (fails && in_hand.iter().all(|order| !handled.contains_key(order))).then_some(in_hand)
    })
    .await;

    // A part of it goes to another member, which works that off.
    let second = start(&world, &working, Choice::default());
    group.until_settled(2).await;
    eventually("a part of what waits is handled elsewhere", async || {
        let handled = working.ledger.handled();
        waits.iter().any(|order| handled.contains_key(order)).then_some(())
    })
    .await;
    // Then it comes back, to one that still has it in hand.
    second.stop().await;
    group.until_settled(1).await;
    waiting.set_away(false);
    group.until_all_is_committed().await;
    first.stop().await;

    for recorder in [&waiting, &working] {
        let own: Vec<OrderId> = recorder.ledger.handled().into_keys().collect();
        recorder.ledger.assert_each_once(&own);
    }
    let both = waiting.ledger.handled().len() + working.ledger.handled().len();
    assert_eq!(both, orders.len(), "each order is handled by one of the two");
    assert_eq!(group.committed().await, group.ends().await);
}
