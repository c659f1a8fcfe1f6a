use serde_json::json;
use test_kit::{World, eventually};

use crate::api::Api;

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
    assert_eq!(management("/readyz").await, 200);
    proxy.cut();
    assert_eq!((management("/readyz").await, management("/livez").await), (503, 200));
    assert_eq!(api.get("/health").await.status, 503);
    proxy.heal();
    eventually("ready again", async || (management("/readyz").await == 200).then_some(())).await;
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
