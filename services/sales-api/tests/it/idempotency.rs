use futures::future::join_all;
use serde_json::json;
use test_kit::bearer;

use crate::api::{Api, Response, order_of, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_gets_the_same_bytes() {
    let api = Api::start().await;
    let first = api.create("key-1", &two_widgets()).await;
    assert_eq!(first.status, 201);
    // The status of the order changes; the response of a replay does not.
    api.world.database.query("UPDATE sales.orders SET status = 'Delivered'").await;
    // The same order in another notation, under the same key in quotes.
    let body = r#"{ "items": [{"price": 2999e-2, "quantity": 2, "productId": "widget"}], "customerId": "customer-1" }"#;
    let headers = [("Idempotency-Key", "\"key-1\""), ("Content-Type", "application/json")];
    let again = api.create_raw(&headers, body).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(api.orders_stored().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_key_with_another_body_is_refused() {
    let api = Api::start().await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
    let other = api.create("key-1", &order_of("widget", 3)).await;
    assert_eq!(other.problem(), "422 IDEMPOTENCY_KEY_REUSED");
    assert_eq!(api.orders_stored().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_needs_no_inventory() {
    let api = Api::start().await;
    let first = api.create("key-1", &order_of("widget", 1)).await;
    let inventory = &api.world.variables()["INVENTORY_URL"];
    let url = format!("{inventory}/admin/behaviour");
    let broken = json!({ "failureRate": 100, "latencyMinMs": 0, "latencyMaxMs": 0 });
    // Longer than the client's timeout.
    let silent = json!({ "failureRate": 0, "latencyMinMs": 60_000, "latencyMaxMs": 60_000 });
    for behaviour in [broken, silent] {
        let changed = reqwest::Client::new().put(&url).json(&behaviour).send().await.unwrap();
        assert!(changed.status().is_success());
        let again = api.create("key-1", &order_of("widget", 1)).await;
        assert_eq!((again.status, &again.text), (201, &first.text));
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_key_is_reported_before_a_shortage() {
    let api = Api::start().await;
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
    let other = api.create("key-1", &order_of("out-of-stock", 1)).await;
    assert_eq!(other.problem(), "422 IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_of_two_subjects_creates_two_orders() {
    let api = Api::start().await;
    let alice = api.create("key-1", &two_widgets()).await;
    let bob =
        api.request(reqwest::Method::POST, "/api/orders").header("Authorization", bearer("bob"));
    let bob = Response::of(bob.header("Idempotency-Key", "key-1").json(&two_widgets())).await;
    assert_eq!((alice.status, bob.status), (201, 201));
    assert_eq!(bob.header("idempotent-replayed"), None);
    assert_eq!(api.orders_stored().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_duplicates_create_one_order_with_one_response() {
    let api = Api::start().await;
    let body = two_widgets();
    let responses = join_all((0..50).map(|_| api.create("key-1", &body))).await;
    assert!(
        responses
            .iter()
            .all(|response| response.status == 201 && response.text == responses[0].text),
        "{responses:?}"
    );
    let first =
        responses.iter().filter(|response| response.header("idempotent-replayed").is_none());
    assert_eq!(first.count(), 1);
    assert_eq!(api.orders_stored().await, 1);
    assert_eq!(api.world.database.count("SELECT count(*) FROM sales.outbox_events").await, 1);
}
