use std::time::Duration;

use test_kit::{World, eventually, read_all};
use tokio::time::Instant;

use crate::recorder::{Choice, Recorder, group, produce, start};

/// Minimum session timeout that a broker accepts, and so the minimum time between two polls.
const MIN_SESSION: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_poll_interval_loses_neither_membership_nor_records() {
    let world = World::create().await;
    let (group, recorder) = (group(&world), Recorder::default());
    let member = start(&world, &recorder, Choice { timeouts: MIN_SESSION, ..Choice::default() });
    let before = (true, group.until_settled(1).await);
    recorder.set_unavailable(true);
    let mut orders = produce(&world, 10).await;
    let begun = Instant::now();
    eventually("the outage is long enough", async || {
        assert_eq!(group.members().await, before, "the member was removed from the group");
        (begun.elapsed() > 3 * MIN_SESSION / 2).then_some(())
    })
    .await;
    // Records that arrive in the meantime wait.
    orders.extend(produce(&world, 10).await);
    let calls = recorder.calls();
    recorder.set_unavailable(false);
    recorder.ledger.until_handled(&orders).await;
    group.until_all_is_committed().await;
    assert_eq!(group.members().await, before);
    member.stop().await;

    recorder.ledger.assert_each_once(&orders);
    assert!(read_all(&world.stack, &world.topics.delivery_events_dlq()).await.is_empty());
    // At most 100, 200, 400, 800 and then 1600 ms, plus the time that the machine adds.
    let waits: Vec<i64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 6, "{waits:?}");
    let bounds = [100, 200, 400, 800].into_iter().chain(std::iter::repeat(1600));
    for (wait, bound) in waits.iter().zip(bounds) {
        assert!((0..bound + 1600).contains(wait), "{waits:?}");
    }
    // The waits are random, 800 ms on average. Without waits, there would be thousands of calls.
    assert!(waits.len() <= 60, "{waits:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_outage_leaves_the_pending_batch_to_the_next_member() {
    let world = World::create().await;
    let (group, recorder) = (group(&world), Recorder::default());
    recorder.set_unavailable(true);
    let orders = produce(&world, 10).await;
    let first = start(&world, &recorder, Choice::default());
    eventually("the batch waits", async || (!recorder.calls().is_empty()).then_some(())).await;
    first.stop().await;
    assert!(group.committed().await.is_empty());

    recorder.set_unavailable(false);
    let second = start(&world, &recorder, Choice::default());
    recorder.ledger.until_handled(&orders).await;
    second.stop().await;
    recorder.ledger.assert_each_once(&orders);
}
