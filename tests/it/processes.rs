//! Checks that hold for the process of every service.

use std::collections::BTreeMap;

use conf::Conf;
use conf::introspection::ProgramOptionMeta;
use futures::future::join_all;
use service_kit::telemetry::build_info;
use test_kit::{Process, World, run_until_exit};

/// Returns the environment variables that a configuration reads.
type Variables = fn() -> Vec<String>;

const SERVICES: [(&str, Variables); 6] = [
    ("sales-api", variables::<sales_api::Config>),
    ("outbox-relay", variables::<outbox_relay::Config>),
    ("delivery-service", variables::<delivery_service::Config>),
    ("status-consumer", variables::<status_consumer::Config>),
    ("inventory-mock", variables::<inventory_mock::Config>),
    ("console", variables::<console::Config>),
];

const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://sales:sales@127.0.0.1:1/sales");
const BROKERS: (&str, &str) = ("KAFKA_BROKERS", "127.0.0.1:1");
const SECRET: (&str, &str) = ("JWT_SECRET", "a secret of the tests, long enough");
const PUBLIC_KEY: (&str, &str) = (
    "JWT_PUBLIC_KEY",
    "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA0LH7eanRL0Kf3rW17H6oK0h09wYOKnu+4sWBEdWn0Yc=\n-----END PUBLIC KEY-----\n",
);

/// A service, variables that are missing or wrong, and what its report contains.
type WrongSettings =
    (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const WRONG_SETTINGS: [WrongSettings; 20] = [
    ("sales-api", &[("PORT", "x")], &["JWT_SECRET", "DATABASE_URL", "PORT"]),
    // Exactly one setting with a key for tokens is required.
    ("sales-api", &[DATABASE], &["JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_FILE", "JWT_JWKS_URL"]),
    ("sales-api", &[DATABASE, SECRET, PUBLIC_KEY], &["JWT_SECRET", "JWT_PUBLIC_KEY"]),
    (
        "sales-api",
        &[("ORDER_EVENTS_TOPIC", "a b"), ("DELIVERY_EVENTS_TOPIC", "..")],
        &["ORDER_EVENTS_TOPIC", "DELIVERY_EVENTS_TOPIC"],
    ),
    ("sales-api", &[("HOST", "nope.invalid")], &["HOST"]),
    (
        "sales-api",
        &[DATABASE, SECRET, ("PORT", "9101"), ("MANAGEMENT_PORT", "9101")],
        &["PORT and MANAGEMENT_PORT must differ"],
    ),
    ("sales-api", &[("INVENTORY_URL", "http://127.0.0.1:3001/?shop=1")], &["INVENTORY_URL"]),
    ("sales-api", &[("INVENTORY_URL", "http://127.0.0.1:3001/#top")], &["INVENTORY_URL"]),
    ("sales-api", &[("INVENTORY_URL", "stock")], &["INVENTORY_URL"]),
    (
        "outbox-relay",
        &[("OUTBOX_SHARD_BATCH", "0")],
        &["DATABASE_URL", "KAFKA_BROKERS", "OUTBOX_SHARD_BATCH"],
    ),
    (
        "outbox-relay",
        &[DATABASE, BROKERS, ("OUTBOX_LANES", "9"), ("OUTBOX_LEASE", "5000")],
        &["DATABASE_POOL_SIZE must be at least OUTBOX_LANES", "OUTBOX_LEASE must be at least"],
    ),
    (
        "delivery-service",
        &[DATABASE, BROKERS, ("DATABASE_POOL_SIZE", "2")],
        &["DATABASE_POOL_SIZE must be at least 3"],
    ),
    (
        "status-consumer",
        &[DATABASE, BROKERS, ("DATABASE_POOL_SIZE", "1")],
        &["DATABASE_POOL_SIZE must be at least 2"],
    ),
    (
        "delivery-service",
        &[("DELIVERY_LEASE", "soon")],
        &["DATABASE_URL", "KAFKA_BROKERS", "DELIVERY_LEASE"],
    ),
    (
        "delivery-service",
        &[
            ("ORDER_EVENTS_TOPIC", "a b"),
            ("DELIVERY_EVENTS_TOPIC", ".."),
            ("DELIVERY_GROUP", "a/b"),
        ],
        &["ORDER_EVENTS_TOPIC", "DELIVERY_EVENTS_TOPIC", "DELIVERY_GROUP", "1 to 249 letters"],
    ),
    // The topics of its input and its output.
    (
        "delivery-service",
        &[DATABASE, BROKERS, ("ORDER_EVENTS_TOPIC", "same"), ("DELIVERY_EVENTS_TOPIC", "same")],
        &["ORDER_EVENTS_TOPIC and DELIVERY_EVENTS_TOPIC must differ"],
    ),
    (
        "status-consumer",
        &[("MANAGEMENT_PORT", "99999")],
        &["DATABASE_URL", "KAFKA_BROKERS", "MANAGEMENT_PORT"],
    ),
    (
        "status-consumer",
        &[("DELIVERY_EVENTS_TOPIC", "a b"), ("STATUS_GROUP", "ü")],
        &["DELIVERY_EVENTS_TOPIC", "STATUS_GROUP", "1 to 249 letters"],
    ),
    (
        "inventory-mock",
        &[("PORT", "x"), ("INVENTORY_FAILURE_RATE", "lots")],
        &["PORT", "INVENTORY_FAILURE_RATE"],
    ),
    (
        "console",
        &[("SECURE_COOKIES", "perhaps"), ("MAX_LIVE_PAGES", "0")],
        &["DATABASE_URL", "JWT_SECRET", "SECURE_COOKIES", "MAX_LIVE_PAGES"],
    ),
];

fn variables<C: Conf>() -> Vec<String> {
    C::program_options().filter_map(|option| Some(option.env_form()?.to_string())).collect()
}

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    for (service, variables, errors) in WRONG_SETTINGS {
        let variables: BTreeMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let output = run_until_exit(service, &[], &variables);
        let report = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(78), "{service} with {variables:?}: {report}");
        for name in errors {
            assert!(report.contains(name), "{service} with {variables:?}: no {name} in: {report}");
        }
    }
}

#[test]
fn help_names_every_variable() {
    for (service, variables) in SERVICES {
        let output = run_until_exit(service, &["--help"], &BTreeMap::new());
        let help = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{service}");
        let variables = variables();
        assert!(variables.len() > 5, "{service}: {variables:?}");
        for name in variables {
            assert!(help.contains(&name), "{name} of {service} is missing in: {help}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    join_all(SERVICES.map(async |(service, _)| {
        let world = World::create().await;
        let process = Process::start(service, &world).await;
        assert_eq!(process.terminate().await.code(), Some(0), "{service}");
    }))
    .await;
}

#[test]
fn every_binary_prints_its_name_and_version_without_settings() {
    for name in SERVICES.map(|(service, _)| service).into_iter().chain(["salesctl"]) {
        let output = run_until_exit(name, &["--version"], &BTreeMap::new());
        let version = String::from_utf8(output.stdout).unwrap();
        assert_eq!(version, format!("{name} {}\n", build_info::version()));
        assert!(output.status.success(), "{name}: {}", output.status);
    }
}
