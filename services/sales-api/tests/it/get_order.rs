use serde_json::json;
use test_kit::{bearer_with, seconds_from_now};

use crate::api::{Api, Response, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_with_its_history() {
    let api = Api::start().await;
    let created = api.create("key-1", &two_widgets()).await.json()["data"].clone();
    let path = format!("/api/orders/{}", created["orderId"].as_str().unwrap());
    let shown = api.get_as("alice", &path).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let mut expected = created.clone();
    expected["statusHistory"] =
        json!([{ "status": "Pending Shipment", "at": created["createdAt"] }]);
    assert_eq!(shown.json(), json!({ "success": true, "data": expected }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_another_subject_is_not_found() {
    let api = Api::start().await;
    let created = api.create("key-1", &two_widgets()).await.json()["data"].clone();
    let path = format!("/api/orders/{}", created["orderId"].as_str().unwrap());
    assert_eq!(api.get_as("mallory", &path).await.problem(), (404, "ORDER_NOT_FOUND".to_owned()));

    let operator =
        bearer_with(&json!({ "sub": "olga", "role": "operator", "exp": seconds_from_now(60) }));
    let request = api.request(reqwest::Method::GET, &path).header("Authorization", operator);
    assert_eq!(Response::of(request).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_not_found() {
    let api = Api::start().await;
    for id in ["0199c0de-0000-7000-8000-000000000000", "no-uuid"] {
        let response = api.get_as("alice", &format!("/api/orders/{id}")).await;
        assert_eq!(response.problem(), (404, "ORDER_NOT_FOUND".to_owned()), "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_history_come_from_one_snapshot() {
    let api = Api::start().await;
    let created = api.create("key-1", &two_widgets()).await;
    let path = created.header("location").unwrap().to_owned();
    // A step that is applied while the order is read. Its lock blocks reads of the history until
    // the commit.
    let step = api
        .world
        .database
        .begin(
            "LOCK TABLE sales.order_status_history;
             UPDATE sales.orders SET status = 'Shipped';
             INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
             SELECT id, 2, 'Shipped', gen_random_uuid(), now() FROM sales.orders",
        )
        .await;
    let (read, ()) = tokio::join!(api.get_as("alice", &path), async {
        api.world.database.until_a_statement_waits_for_a_lock().await;
        step.commit().await;
    });
    let order = &read.json()["data"];
    let history = order["statusHistory"].as_array().unwrap();
    assert_eq!(order["status"], history.last().unwrap()["status"], "{order:#}");
}
