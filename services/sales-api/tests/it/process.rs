use test_kit::process_checks;

use crate::keys::KeyPair;

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
fn no_key_for_tokens_or_more_than_one_ends_the_process_as_a_wrong_setting() {
    let database = ("DATABASE_URL", "postgres://sales:sales@127.0.0.1:1/sales");
    let names = ["JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_FILE"];
    process_checks::reports_all_faults(BINARY, &[database], &names);
    let both = [
        database,
        ("JWT_SECRET", "a secret of the tests, long enough"),
        ("JWT_PUBLIC_KEY", &KeyPair::ed25519().public_pem),
    ];
    process_checks::reports_all_faults(BINARY, &both, &["JWT_SECRET", "JWT_PUBLIC_KEY"]);
}

#[test]
fn help_names_every_variable() {
    process_checks::help_names_all_of::<sales_api::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::ends_on_a_signal(BINARY).await;
}
