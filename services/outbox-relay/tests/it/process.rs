use contracts::message::EventMessage;
use domain::OrderId;
use test_kit::{
    Process, World, eventually, metrics, outbox_event, process_checks, put_into_outbox,
};

const BINARY: &str = env!("CARGO_BIN_EXE_outbox-relay");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_errors(
        BINARY,
        &[("OUTBOX_SHARD_BATCH", "0")],
        &["DATABASE_URL", "KAFKA_BROKERS", "OUTBOX_SHARD_BATCH"],
    );
    process_checks::reports_all_errors(
        BINARY,
        &[
            ("DATABASE_URL", "postgres://u@h/d"),
            ("KAFKA_BROKERS", "h:1"),
            ("OUTBOX_LANES", "9"),
            ("OUTBOX_LEASE", "5000"),
        ],
        &["DATABASE_POOL_SIZE must be at least OUTBOX_LANES", "OUTBOX_LEASE must be at least"],
    );
}

#[test]
fn help_names_every_variable() {
    process_checks::help_lists_variables_of::<outbox_relay::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::exits_on_sigterm(BINARY).await;
}

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
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is missing in: {text}")).parse().unwrap()
        };
        let counts = ["outbox_events", "outbox_live_relays", "outbox_unheld_shards"].map(value);
        let ages = ["outbox_oldest_age_seconds", "outbox_observed_timestamp_seconds"].map(value);
        (counts, ages.map(|age| age > 0.0))
    };
    let (observes, idle) = (([1.0, 2.0, 0.0], [true; 2]), ([0.0; 3], [false; 2]));
    eventually("only one relay reports the outbox", async || {
        let both = [shown(&relays[0]).await, shown(&relays[1]).await];
        (both == [observes, idle] || both == [idle, observes]).then_some(())
    })
    .await;
}
