use test_kit::{Process, World, bearer, free_port};
use tokio::net::TcpListener;

use crate::api::two_widgets;
use crate::outages::respond;

const BINARY: &str = env!("CARGO_BIN_EXE_sales-api");

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
