use test_kit::{Process, World, bearer, free_port, process_checks};
use tokio::net::TcpListener;

use crate::api::two_widgets;
use crate::keys::KeyPair;
use crate::outages::answer;

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
    let names = ["JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_FILE", "JWT_JWKS_URL"];
    process_checks::reports_all_faults(BINARY, &[database], &names);
    let both = [
        database,
        ("JWT_SECRET", "a secret of the tests, long enough"),
        ("JWT_PUBLIC_KEY", &KeyPair::ed25519().public_pem),
    ];
    process_checks::reports_all_faults(BINARY, &both, &["JWT_SECRET", "JWT_PUBLIC_KEY"]);
}

#[test]
fn a_topic_that_kafka_would_refuse_is_a_wrong_setting() {
    let topics = [("ORDER_EVENTS_TOPIC", "a b"), ("DELIVERY_EVENTS_TOPIC", "..")];
    process_checks::reports_all_faults(BINARY, &topics, &topics.map(|(name, _)| name));
}

#[test]
fn an_address_that_is_none_and_one_port_for_two_listeners_are_wrong_settings() {
    process_checks::reports_all_faults(BINARY, &[("HOST", "nope.invalid")], &["HOST"]);
    let right = [
        ("DATABASE_URL", "postgres://sales:sales@127.0.0.1:1/sales"),
        ("JWT_SECRET", "a secret of the tests, long enough"),
    ];
    let ports = [("PORT", "9101"), ("MANAGEMENT_PORT", "9101")];
    process_checks::reports_all_faults(
        BINARY,
        &[right, ports].concat(),
        &["PORT and MANAGEMENT_PORT must differ"],
    );
}

#[test]
fn an_inventory_url_that_no_path_can_be_added_to_is_a_wrong_setting() {
    for url in ["http://127.0.0.1:3001/?shop=1", "http://127.0.0.1:3001/#top", "stock"] {
        process_checks::reports_all_faults(BINARY, &[("INVENTORY_URL", url)], &["INVENTORY_URL"]);
    }
}

#[test]
fn help_names_every_variable() {
    process_checks::help_names_all_of::<sales_api::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::ends_on_a_signal(BINARY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_on_with_the_trace_of_its_request() {
    let mut world = World::create().await;
    let port = free_port();
    world.set("PORT", port);
    let _api = Process::start(BINARY, &world).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("{trace}-00f067aa0ba902b7-01");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://127.0.0.1:{port}/health"));
    let answer = request.header("traceparent", &parent).send().await.unwrap();
    let continued = answer.headers()["traceparent"].to_str().unwrap();
    assert!(continued.starts_with(trace) && continued != parent, "{continued}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inventory_is_told_of_the_trace() {
    let inventory = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free_port();
    let mut world = World::create().await;
    world.set("INVENTORY_URL", format!("http://{}", inventory.local_addr().unwrap()));
    world.set("PORT", port);
    let _api = Process::start(BINARY, &world).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736";
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let create = client
        .post(format!("http://127.0.0.1:{port}/api/orders"))
        .header("authorization", bearer("alice"))
        .header("idempotency-key", "key-1")
        .header("traceparent", format!("{trace}-00f067aa0ba902b7-01"))
        .header("tracestate", "vendor=1")
        .json(&two_widgets());
    let asked = async {
        let (mut client, _) = inventory.accept().await.unwrap();
        answer(&mut client, "200 OK").await
    };
    let (created, question) = tokio::join!(create.send(), asked);
    assert_eq!(created.unwrap().status(), 201);
    assert!(question.contains(&format!("traceparent: {trace}-")), "{question}");
    assert!(question.contains("tracestate: vendor=1"), "{question}");
}
