use test_kit::process_checks;

const BINARY: &str = env!("CARGO_BIN_EXE_outbox-relay");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_faults(
        BINARY,
        &[("OUTBOX_SHARD_BATCH", "0")],
        &["DATABASE_URL", "KAFKA_BROKERS", "OUTBOX_SHARD_BATCH"],
    );
    process_checks::reports_all_faults(
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
    process_checks::help_names_all_of::<outbox_relay::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::ends_on_a_signal(BINARY).await;
}
