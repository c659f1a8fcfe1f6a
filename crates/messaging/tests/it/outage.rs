use std::time::Duration;

use test_kit::{World, eventually, read_all};
use tokio::time::Instant;

use crate::recorder::{Choice, Recorder, group, report, start};

/// The least that a broker allows for a session, and so for the time between two polls.
const LEAST: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_longer_than_the_poll_interval_costs_neither_the_place_in_the_group_nor_a_record()
{
    let world = World::create().await;
    let (group, recorder) = (group(&world), Recorder::default());
    let member = start(&world, &recorder, Choice { timeouts: LEAST, ..Choice::default() });
    let before = (true, group.until_settled(1).await);
    recorder.set_away(true);
    let mut orders = report(&world, 10).await;
    let begun = Instant::now();
    eventually("the outage is long enough", async || {
        assert_eq!(group.members().await, before, "the member was thrown out");
        (begun.elapsed() > 3 * LEAST / 2).then_some(())
    })
    .await;
    // What arrives in the meantime waits.
    orders.extend(report(&world, 10).await);
    let calls = recorder.calls();
    recorder.set_away(false);
    recorder.ledger.until_handled(&orders).await;
    group.until_all_is_committed().await;
    assert_eq!(group.members().await, before);
    member.stop().await;

    recorder.ledger.assert_each_once(&orders);
    assert!(read_all(&world.stack, &world.topics.delivery_events_dlq()).await.is_empty());
    // 100, 200, 400, 800 and then 1600 ms, plus what the machine takes.
    let waits: Vec<i64> = calls.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(waits.len() >= 6, "{waits:?}");
    for (wait, least) in waits.iter().zip([100, 200, 400, 800, 1600, 1600, 1600]) {
        assert!((least - 5..least + 1600).contains(wait), "{waits:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_an_outage_leaves_what_waits_to_the_next_member() {
    let world = World::create().await;
    let (group, recorder) = (group(&world), Recorder::default());
    recorder.set_away(true);
    let orders = report(&world, 10).await;
    let first = start(&world, &recorder, Choice::default());
    eventually("it waits", async || (!recorder.calls().is_empty()).then_some(())).await;
    first.stop().await;
    assert!(group.committed().await.is_empty());

    recorder.set_away(false);
    let second = start(&world, &recorder, Choice::default());
    recorder.ledger.until_handled(&orders).await;
    second.stop().await;
    recorder.ledger.assert_each_once(&orders);
}
