use test_kit::process_checks;

const BINARY: &str = env!("CARGO_BIN_EXE_status-consumer");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_faults(
        BINARY,
        &[("MANAGEMENT_PORT", "99999")],
        &["DATABASE_URL", "KAFKA_BROKERS", "MANAGEMENT_PORT"],
    );
}

#[test]
fn help_names_every_variable() {
    process_checks::help_names_all_of::<status_consumer::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::ends_on_a_signal(BINARY).await;
}

#[test]
fn a_topic_or_a_group_that_kafka_would_refuse_is_a_wrong_setting() {
    process_checks::reports_all_faults(
        BINARY,
        &[("DELIVERY_EVENTS_TOPIC", "a b"), ("STATUS_GROUP", "ü")],
        &["DELIVERY_EVENTS_TOPIC", "STATUS_GROUP", "1 to 249 letters"],
    );
}
