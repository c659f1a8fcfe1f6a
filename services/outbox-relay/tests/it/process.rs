use contracts::message::EventMessage;
use domain::OrderId;
use test_kit::{Process, World, eventually, metrics, outbox_event, put_into_outbox};

const BINARY: &str = env!("CARGO_BIN_EXE_outbox-relay");

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_relay_reports_the_outbox() {
    let world = World::create().await;
    // The topic does not exist, so the event waits.
    let topic = format!("{}.missing", world.topics.order_events);
    let event = EventMessage { topic, ..outbox_event(&world, OrderId::generate(), "{}") };
    put_into_outbox(&world, &[event]).await;
    let relays = [Process::start(BINARY, &world).await, Process::start(BINARY, &world).await];

    // The numbers of events, relays and unheld shards; whether an age and an observation time are
    // set.
    let shown = async |relay: &Process| {
        let text = metrics(relay.management_port()).await;
        let value = |name: &str| -> f64 {
            let series = format!("{name}{{queue=\"outbox\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&series));
            line.unwrap_or_else(|| panic!("{name} is missing in: {text}")).parse().unwrap()
        };
        let counts = ["queue_events", "queue_live_holders", "queue_unheld_shards"].map(value);
        let ages = ["queue_oldest_age_seconds", "queue_observed_timestamp_seconds"].map(value);
        (counts, ages.map(|age| age > 0.0))
    };
    let (observes, idle) = (([1.0, 2.0, 0.0], [true; 2]), ([0.0; 3], [false; 2]));
    eventually("only one relay reports the outbox", async || {
        let both = [shown(&relays[0]).await, shown(&relays[1]).await];
        (both == [observes, idle] || both == [idle, observes]).then_some(())
    })
    .await;
}
