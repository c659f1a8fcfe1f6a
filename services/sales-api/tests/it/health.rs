use serde_json::json;
use test_kit::{World, eventually, told, until_ready, until_stalled};

use crate::api::{Api, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn health_names_every_part_without_a_token() {
    let api = Api::start().await;
    let answer = api.get("/health").await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["services"], json!({ "database": "up", "api": "up", "inventory": "up" }));
    assert!(health["uptime"].is_u64() && health["timestamp"].is_string());
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
    let (_, ready) = told(api.management_port, "readyz").await;
    let reason = ready["reasons"]["postgres"].as_str().unwrap();
    assert!(reason.contains("connection"), "{ready}");
    assert_eq!(management("/livez").await, 200);
    assert_eq!(api.get("/health").await.status, 503);
    proxy.heal();
    until_ready(api.management_port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_is_away_takes_no_instance_away() {
    let mut world = World::create().await;
    // Nobody listens there; nor does anybody at Kafka's address, for which the API has no use.
    world.set("INVENTORY_URL", "http://127.0.0.1:1").set("KAFKA_BROKERS", "127.0.0.1:1");
    world.set("CIRCUIT_BREAKER_TIMEOUT", 300).set("CIRCUIT_BREAKER_FAILURE_THRESHOLD", 1);
    let api = Api::start_in(world).await;
    let refused = api.create("key-1", &two_widgets()).await;
    assert_eq!(refused.problem(), (503, "INVENTORY_UNAVAILABLE".to_owned()));
    assert_eq!(api.get("/health").await.json()["services"]["inventory"], "down");
    until_ready(api.management_port).await;
    let ready = json!({ "ready": true, "checks": { "postgres": true } });
    assert_eq!(told(api.management_port, "readyz").await, (200, ready));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_writer_that_waits_for_ever_turns_livez_red() {
    let mut world = World::create().await;
    world.set_impatience();
    let proxy = world.proxy_database().await;
    let api = Api::start_in(world).await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
    until_stalled(api.management_port, &[]).await;
    // The insert arrives, and no answer ever comes.
    proxy.lose_answers();
    let order = two_widgets();
    tokio::select! {
        answer = api.create("key-2", &order) => panic!("{answer:?}"),
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
