use test_kit::{Process, World, bearer, free_port, process_checks};
use tokio::net::TcpListener;

use crate::api::two_widgets;
use crate::keys::KeyPair;
use crate::outages::respond;

const BINARY: &str = env!("CARGO_BIN_EXE_sales-api");

#[test]
fn settings_that_are_missing_or_wrong_are_reported_together() {
    process_checks::reports_all_errors(
        BINARY,
        &[("PORT", "x")],
        &["JWT_SECRET", "DATABASE_URL", "PORT"],
    );
}

#[test]
fn exactly_one_token_key_setting_is_required() {
    let database = ("DATABASE_URL", "postgres://sales:sales@127.0.0.1:1/sales");
    let names = ["JWT_SECRET", "JWT_PUBLIC_KEY", "JWT_JWKS_FILE", "JWT_JWKS_URL"];
    process_checks::reports_all_errors(BINARY, &[database], &names);
    let both = [
        database,
        ("JWT_SECRET", "a secret of the tests, long enough"),
        ("JWT_PUBLIC_KEY", &KeyPair::ed25519().public_pem),
    ];
    process_checks::reports_all_errors(BINARY, &both, &["JWT_SECRET", "JWT_PUBLIC_KEY"]);
}

#[test]
fn an_invalid_topic_name_is_a_configuration_error() {
    let topics = [("ORDER_EVENTS_TOPIC", "a b"), ("DELIVERY_EVENTS_TOPIC", "..")];
    process_checks::reports_all_errors(BINARY, &topics, &topics.map(|(name, _)| name));
}

#[test]
fn an_invalid_host_and_a_shared_port_are_configuration_errors() {
    process_checks::reports_all_errors(BINARY, &[("HOST", "nope.invalid")], &["HOST"]);
    let right = [
        ("DATABASE_URL", "postgres://sales:sales@127.0.0.1:1/sales"),
        ("JWT_SECRET", "a secret of the tests, long enough"),
    ];
    let ports = [("PORT", "9101"), ("MANAGEMENT_PORT", "9101")];
    process_checks::reports_all_errors(
        BINARY,
        &[right, ports].concat(),
        &["PORT and MANAGEMENT_PORT must differ"],
    );
}

#[test]
fn an_unusable_inventory_url_is_a_configuration_error() {
    for url in ["http://127.0.0.1:3001/?shop=1", "http://127.0.0.1:3001/#top", "stock"] {
        process_checks::reports_all_errors(BINARY, &[("INVENTORY_URL", url)], &["INVENTORY_URL"]);
    }
}

#[test]
fn help_names_every_variable() {
    process_checks::help_lists_variables_of::<sales_api::Config>(BINARY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_the_process_cleanly() {
    process_checks::exits_on_sigterm(BINARY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_continues_the_trace_of_its_request() {
    let mut world = World::create().await;
    let port = free_port();
    world.set("PORT", port);
    let _api = Process::start(BINARY, &world).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("{trace}-00f067aa0ba902b7-01");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://127.0.0.1:{port}/health"));
    let response = request.header("traceparent", &parent).send().await.unwrap();
    let continued = response.headers()["traceparent"].to_str().unwrap();
    assert!(continued.starts_with(trace) && continued != parent, "{continued}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_is_propagated_to_the_inventory() {
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
    let served = async {
        let (mut client, _) = inventory.accept().await.unwrap();
        respond(&mut client, "200 OK").await
    };
    let (created, request) = tokio::join!(create.send(), served);
    assert_eq!(created.unwrap().status(), 201);
    assert!(request.contains(&format!("traceparent: {trace}-")), "{request}");
    assert!(request.contains("tracestate: vendor=1"), "{request}");
}
