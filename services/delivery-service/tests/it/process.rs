use test_kit::process_checks;

const BINARY: &str = env!("CARGO_BIN_EXE_delivery-service");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_faults(
        BINARY,
        &[("DELIVERY_LEASE", "soon")],
        &["DATABASE_URL", "KAFKA_BROKERS", "DELIVERY_LEASE"],
    );
}

#[test]
fn help_names_every_variable() {
    process_checks::help_names_all_of::<delivery_service::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::ends_on_a_signal(BINARY).await;
}

#[test]
fn a_topic_or_a_group_that_kafka_would_refuse_is_a_wrong_setting() {
    process_checks::reports_all_faults(
        BINARY,
        &[
            ("ORDER_EVENTS_TOPIC", "a b"),
            ("DELIVERY_EVENTS_TOPIC", ".."),
            ("DELIVERY_GROUP", "a/b"),
        ],
        &["ORDER_EVENTS_TOPIC", "DELIVERY_EVENTS_TOPIC", "DELIVERY_GROUP", "1 to 249 letters"],
    );
}

#[test]
fn what_it_writes_is_never_what_it_reads() {
    process_checks::reports_all_faults(
        BINARY,
        &[
            ("DATABASE_URL", "postgres://sales:sales@127.0.0.1:1/sales"),
            ("KAFKA_BROKERS", "127.0.0.1:1"),
            ("ORDER_EVENTS_TOPIC", "same"),
            ("DELIVERY_EVENTS_TOPIC", "same"),
        ],
        &["ORDER_EVENTS_TOPIC and DELIVERY_EVENTS_TOPIC must differ"],
    );
}
