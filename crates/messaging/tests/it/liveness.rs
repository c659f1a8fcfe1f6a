use std::time::Duration;

use service_kit::Heartbeat;
use test_kit::{PrivateStack, World, eventually};
use tokio::time::Instant;

use crate::recorder::{Choice, Recorder, group, produce, start};

/// Longer than the longest wait plus the interval of the statistics.
const LIMIT: Duration = Duration::from_secs(4);

fn with_heartbeat(heartbeat: &Heartbeat) -> Choice {
    Choice { heartbeat: heartbeat.clone(), ..Choice::default() }
}

/// Asserts that the loop stays alive for longer than it may be silent.
async fn stays_alive(heartbeat: &Heartbeat) {
    let begun = Instant::now();
    eventually("observed for long enough", async || {
        assert!(heartbeat.is_alive(), "silent for {:?}", heartbeat.silence());
        (begun.elapsed() > 2 * LIMIT).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_loop_is_alive() {
    let world = World::create().await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    let member = start(&world, &recorder, with_heartbeat(&heartbeat));
    let orders = produce(&world, 10).await;
    recorder.ledger.until_handled(&orders).await;
    stays_alive(&heartbeat).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_in_an_outage_is_alive() {
    let world = World::create().await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    recorder.set_unavailable(true);
    produce(&world, 10).await;
    let member = start(&world, &recorder, with_heartbeat(&heartbeat));
    eventually("the batch waits", async || (!recorder.calls().is_empty()).then_some(())).await;
    stays_alive(&heartbeat).await;
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_loop_is_detected() {
    let world = World::create().await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    let member = start(&world, &recorder, with_heartbeat(&heartbeat));
    group(&world).until_settled(1).await;
    assert!(heartbeat.is_alive());
    let _closed = recorder.gate.write().await;
    produce(&world, 1).await;
    eventually("the loop is stalled", async || (!heartbeat.is_alive()).then_some(())).await;
    member.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_without_a_broker_is_alive_and_resumes_when_it_returns() {
    let stack = PrivateStack::start("test-signs-of-life");
    let world = World::create_on(stack.addresses()).await;
    let (heartbeat, recorder) = (Heartbeat::new("consumer", LIMIT), Recorder::default());
    let member = start(&world, &recorder, with_heartbeat(&heartbeat));
    let orders = produce(&world, 10).await;
    recorder.ledger.until_handled(&orders).await;
    stack.kill("kafka");
    stays_alive(&heartbeat).await;
    stack.start_again("kafka");
    let orders = produce(&world, 10).await;
    recorder.ledger.until_handled(&orders).await;
    assert!(heartbeat.is_alive());
    member.stop().await;
}
