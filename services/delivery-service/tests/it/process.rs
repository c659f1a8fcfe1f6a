use std::time::{SystemTime, UNIX_EPOCH};

use test_kit::{Process, World, eventually, metrics, process_checks};

const BINARY: &str = env!("CARGO_BIN_EXE_delivery-service");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_errors(
        BINARY,
        &[("DELIVERY_LEASE", "soon")],
        &["DATABASE_URL", "KAFKA_BROKERS", "DELIVERY_LEASE"],
    );
}

#[test]
fn help_names_every_variable() {
    process_checks::help_lists_variables_of::<delivery_service::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::exits_on_sigterm(BINARY).await;
}

#[test]
fn invalid_topic_and_group_names_are_reported() {
    process_checks::reports_all_errors(
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
fn input_and_output_topics_must_differ() {
    process_checks::reports_all_errors(
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

#[tokio::test(flavor = "multi_thread")]
async fn the_observation_time_ages_during_a_database_outage() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let service = Process::start(BINARY, &world).await;
    let seconds_ago = async || {
        let text = metrics(service.management_port()).await;
        let name = "delivery_observed_timestamp_seconds ";
        let looked: f64 = text.lines().find_map(|line| line.strip_prefix(name))?.parse().unwrap();
        Some(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - looked)
    };
    eventually("the shipments are observed", async || (seconds_ago().await? < 6.0).then_some(()))
        .await;
    proxy.cut();
    eventually("the last observation is old", async || (seconds_ago().await? > 10.0).then_some(()))
        .await;
    proxy.heal();
    eventually("the shipments are observed again", async || {
        (seconds_ago().await? < 6.0).then_some(())
    })
    .await;
}
