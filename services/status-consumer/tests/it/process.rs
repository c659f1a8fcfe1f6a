use test_kit::process_checks;

const BINARY: &str = env!("CARGO_BIN_EXE_status-consumer");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_errors(
        BINARY,
        &[("MANAGEMENT_PORT", "99999")],
        &["DATABASE_URL", "KAFKA_BROKERS", "MANAGEMENT_PORT"],
    );
}

#[test]
fn help_names_every_variable() {
    process_checks::help_lists_variables_of::<status_consumer::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::exits_on_sigterm(BINARY).await;
}

#[test]
fn invalid_topic_and_group_names_are_reported() {
    process_checks::reports_all_errors(
        BINARY,
        &[("DELIVERY_EVENTS_TOPIC", "a b"), ("STATUS_GROUP", "ü")],
        &["DELIVERY_EVENTS_TOPIC", "STATUS_GROUP", "1 to 249 letters"],
    );
}
