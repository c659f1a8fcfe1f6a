use std::time::Duration;

use service_kit::Heartbeat;
use test_kit::{PrivateStack, World, eventually};
use tokio::time::Instant;

use crate::recorder::{Choice, Recorder, group, report, start};

/// Longer than the longest wait and the time between two statistics together.
const LIMIT: Duration = Duration::from_secs(4);

fn watched_by(heartbeat: &Heartbeat) -> Choice {
    Choice { heartbeat: heartbeat.clone(), ..Choice::default() }
}

/// Looks all the while, for longer than a loop may be silent.
async fn stays_alive(heartbeat: &Heartbeat) {
    let begun = Instant::now();
    eventually("enough was seen", async || {
        assert!(heartbeat.is_alive(), "silent for {:?}", heartbeat.silence());
        (begun.elapsed() > 2 * LIMIT).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_with_nothing_to_do_is_alive() {
    let world = World::create().await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    let member = start(&world, &recorder, watched_by(&heartbeat));
    let orders = report(&world, 10).await;
    recorder.ledger.until_handled(&orders).await;
    stays_alive(&heartbeat).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_waits_out_an_outage_is_alive() {
    let world = World::create().await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    recorder.set_away(true);
    report(&world, 10).await;
    let member = start(&world, &recorder, watched_by(&heartbeat));
    eventually("it waits", async || (!recorder.calls().is_empty()).then_some(())).await;
    stays_alive(&heartbeat).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_stands_still_is_noticed() {
    let world = World::create().await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    let member = start(&world, &recorder, watched_by(&heartbeat));
    group(&world).until_settled(1).await;
    assert!(heartbeat.is_alive());
    let _closed = recorder.gate.write().await;
    report(&world, 1).await;
    eventually("it is noticed", async || (!heartbeat.is_alive()).then_some(())).await;
    member.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_without_a_broker_is_alive_and_goes_on_once_it_is_back() {
    let stack = PrivateStack::start("test-signs-of-life");
    let world = World::create_on(stack.addresses()).await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    let member = start(&world, &recorder, watched_by(&heartbeat));
    let orders = report(&world, 10).await;
    recorder.ledger.until_handled(&orders).await;
    stack.kill("kafka");
    stays_alive(&heartbeat).await;
    stack.bring_back("kafka");
    let orders = report(&world, 10).await;
    recorder.ledger.until_handled(&orders).await;
    assert!(heartbeat.is_alive());
    member.stop().await;
}
