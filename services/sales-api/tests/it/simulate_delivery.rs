use contracts::delivery_events::{ORDER_SHIPPED, event_type};
use contracts::event_id::event_id;
use domain::{DeliveryStep, OrderId};
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::bearer;

use crate::api::{Api, Response, operator};

/// An API that lets owners simulate deliveries.
async fn start() -> Api {
    Api::start_with(&[("SIMULATE_DELIVERY", &"owner")]).await
}

async fn simulate(api: &Api, token: &str, order: &str, body: &Value) -> Response {
    let path = format!("/api/orders/{order}/simulate-delivery");
    Response::of(api.request(Method::POST, &path).header("Authorization", token).json(body)).await
}

async fn placed(api: &Api) -> String {
    api.place("key-1").await.replace("/api/orders/", "")
}

fn shipped() -> Value {
    json!({ "status": "shipped" })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_step_equals_the_event_of_delivery_service() {
    let api = start().await;
    let order = placed(&api).await;
    let response = simulate(&api, &bearer("alice"), &order, &shipped()).await;
    assert_eq!(response.status, 200, "{response:?}");
    let message = format!("Simulated shipped event for order {order}");
    assert_eq!(response.json(), json!({ "success": true, "message": message }));

    let rows = api
        .world
        .database
        .query(
            "SELECT event_id::text, topic, event_type, shard FROM sales.outbox_events ORDER BY seq",
        )
        .await;
    assert_eq!(rows.len(), 2);
    let id: OrderId = order.parse().unwrap();
    let event_id = event_id(id, event_type(DeliveryStep::Shipped)).to_string();
    assert_eq!(rows[1].get::<_, String>(0), event_id);
    assert_eq!(rows[1].get::<_, String>(1), api.world.topics.delivery_events);
    assert_eq!(rows[1].get::<_, String>(2), ORDER_SHIPPED);
    // In the same shard, it is published after the event that created the order.
    assert_eq!(rows[1].get::<_, i16>(3), rows[0].get::<_, i16>(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_step_is_a_conflict_and_stores_no_event() {
    let api = start().await;
    let order = placed(&api).await;
    let conflict = "409 ORDER_STATUS_CONFLICT";
    let delivered = json!({ "status": "delivered" });
    let early = simulate(&api, &bearer("alice"), &order, &delivered).await;
    assert_eq!(early.problem(), conflict);
    assert_eq!(early.json()["detail"], "the order is Pending Shipment: it cannot be delivered now");
    api.world.database.execute("UPDATE sales.orders SET status = 'Delivered'").await;
    for step in [shipped(), delivered] {
        assert_eq!(simulate(&api, &bearer("alice"), &order, &step).await.problem(), conflict);
    }
    assert_eq!(api.world.database.count("SELECT count(*) FROM sales.outbox_events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_and_operators_can_simulate_a_delivery() {
    let api = start().await;
    let order = placed(&api).await;
    let missing = "404 ORDER_NOT_FOUND";
    assert_eq!(simulate(&api, &bearer("bob"), &order, &shipped()).await.problem(), missing);
    assert_eq!(simulate(&api, &bearer("alice"), "17", &shipped()).await.problem(), missing);
    assert_eq!(simulate(&api, &operator(), &order, &shipped()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn simulation_can_be_limited_to_operators_or_disabled() {
    let forbidden = "403 FORBIDDEN";
    for (setting, owner, support) in [("operator", 403, 200), ("nobody", 403, 403)] {
        let api = Api::start_with(&[("SIMULATE_DELIVERY", &setting)]).await;
        let order = placed(&api).await;
        for (token, status) in [(bearer("alice"), owner), (operator(), support)] {
            let response = simulate(&api, &token, &order, &shipped()).await;
            assert_eq!(response.status, status, "{setting}: {response:?}");
            assert!(status == 200 || response.problem() == forbidden);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_or_missing_step_is_refused() {
    let api = start().await;
    let order = placed(&api).await;
    for (body, detail) in [
        (json!({ "status": "Shipped" }), "must be one of: shipped, delivered"),
        (json!({}), "is required"),
    ] {
        let response = simulate(&api, &bearer("alice"), &order, &body).await;
        assert_eq!(response.problem(), "400 VALIDATION_FAILED");
        assert_eq!(response.json()["errors"], json!([{ "pointer": "/status", "detail": detail }]));
    }
}
