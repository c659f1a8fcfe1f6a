use serde_json::json;
use test_kit::{bearer_with, seconds_from_now};

use crate::api::{Answer, Api, two_widgets};

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
async fn another_subjects_order_is_as_good_as_none() {
    let api = Api::start().await;
    let created = api.create("key-1", &two_widgets()).await.json()["data"].clone();
    let path = format!("/api/orders/{}", created["orderId"].as_str().unwrap());
    assert_eq!(api.get_as("mallory", &path).await.problem(), (404, "ORDER_NOT_FOUND".to_owned()));

    let operator =
        bearer_with(&json!({ "sub": "olga", "role": "operator", "exp": seconds_from_now(60) }));
    let request = api.request(reqwest::Method::GET, &path).header("Authorization", operator);
    assert_eq!(Answer::of(request).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_not_found() {
    let api = Api::start().await;
    for id in ["0199c0de-0000-7000-8000-000000000000", "no-uuid"] {
        let answer = api.get_as("alice", &format!("/api/orders/{id}")).await;
        assert_eq!(answer.problem(), (404, "ORDER_NOT_FOUND".to_owned()), "{id}");
    }
}
