use test_kit::process_checks;

const BINARY: &str = env!("CARGO_BIN_EXE_sales-api");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_faults(
        BINARY,
        &[("PORT", "x")],
        &["JWT_SECRET", "DATABASE_URL", "PORT"],
    );
}

#[test]
fn help_names_every_variable() {
    process_checks::help_names_all_of::<sales_api::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::ends_on_a_signal(BINARY).await;
}
