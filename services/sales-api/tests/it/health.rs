use chrono::{DateTime, Utc};
use serde_json::json;
use test_kit::{World, eventually, get_json, until_ready, until_stalled};

use crate::api::{Api, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn health_lists_every_component_without_a_token() {
    let api = Api::start().await;
    let response = api.get("/health").await;
    assert_eq!(response.status, 200);
    let health = response.json();
    let at: DateTime<Utc> = health["timestamp"].as_str().unwrap().parse().unwrap();
    assert!((Utc::now() - at).num_seconds().abs() < 60 && health["uptime"].is_u64(), "{health}");
    insta::assert_snapshot!(response.without(&["/timestamp", "/uptime"]), @r#"
    {
      "services": {"api":"up","database":"up","inventory":"up"},
      "status": "healthy",
      "timestamp": "...",
      "uptime": "..."
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_the_api_is_alive_but_not_ready() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let api = Api::start_in(world).await;
    let management = |path: &str| {
        let url = format!("{}{path}", api.management);
        async move { reqwest::get(url).await.unwrap().status().as_u16() }
    };
    until_ready(api.management_port).await;
    proxy.cut();
    eventually("not ready", async || (management("/readyz").await == 503).then_some(())).await;
    let (_, ready) = get_json(api.management_port, "readyz").await;
    let reason = ready["reasons"]["postgres"].as_str().unwrap();
    assert!(reason.contains("to the database"), "{ready}");
    assert_eq!(management("/livez").await, 200);
    assert_eq!(api.get("/health").await.status, 503);
    proxy.heal();
    until_ready(api.management_port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_inventory_does_not_affect_readiness() {
    // Nothing listens on these ports. The API does not use Kafka.
    let api = Api::start_with(&[
        ("INVENTORY_URL", &"http://127.0.0.1:1"),
        ("KAFKA_BROKERS", &"127.0.0.1:1"),
        ("CIRCUIT_BREAKER_TIMEOUT", &300),
        ("CIRCUIT_BREAKER_FAILURE_THRESHOLD", &1),
    ])
    .await;
    let refused = api.create("key-1", &two_widgets()).await;
    assert_eq!(refused.problem(), "503 INVENTORY_UNAVAILABLE");
    assert_eq!(api.get("/health").await.json()["services"]["inventory"], "down");
    until_ready(api.management_port).await;
    let ready = json!({ "ready": true, "checks": { "postgres": true } });
    assert_eq!(get_json(api.management_port, "readyz").await, (200, ready));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_order_writer_fails_livez() {
    let mut world = World::create().await;
    world.set_short_timeouts();
    let proxy = world.proxy_database().await;
    let api = Api::start_in(world).await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
    until_stalled(api.management_port, &[]).await;
    // The insert reaches the database, but the response is lost.
    proxy.drop_responses();
    let order = two_widgets();
    tokio::select! {
        response = api.create("key-2", &order) => panic!("{response:?}"),
        () = until_stalled(api.management_port, &["order writer inserts"]) => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_measured_by_route_and_never_by_id() {
    let api = Api::start().await;
    let id = "0199c0de-0000-7000-8000-000000000000";
    api.get_as("alice", &format!("/api/orders/{id}")).await;
    let metrics =
        reqwest::get(format!("{}/metrics", api.management)).await.unwrap().text().await.unwrap();
    assert!(metrics.contains(r#"route="/api/orders/{orderId}",status="404""#), "{metrics}");
    assert!(!metrics.contains(id));
}
