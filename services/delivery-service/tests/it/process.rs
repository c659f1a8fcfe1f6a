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
