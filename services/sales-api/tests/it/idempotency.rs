use futures::future::join_all;
use serde_json::json;
use test_kit::bearer;

use crate::api::{Api, Response, order_of, two_widgets, with_all_fields};

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
async fn a_replay_with_optional_fields_gets_the_same_bytes() {
    let api = Api::start().await;
    let first = api.create("key-1", &with_all_fields()).await;
    assert_eq!(first.status, 201);
    // The same values in another order.
    let body = r#"{"metadata":{"lane":"4","gift":"Gr\u00fc\u00dfe"},"currency":"EUR","externalReference":"1001",
        "items":[{"productId":"widget","quantity":2,"price":29.99}],"customerId":"customer-1"}"#;
    let headers = [("Idempotency-Key", "key-1"), ("Content-Type", "application/json")];
    let again = api.create_raw(&headers, body).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    for (field, value) in [
        ("externalReference", json!("1002")),
        ("currency", json!(null)),
        ("metadata", json!({ "lane": "4" })),
        ("metadata", json!({ "lane": "4", "gift": "no" })),
    ] {
        let mut other = with_all_fields();
        other[field] = value;
        other.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let other = api.create("key-1", &other).await;
        assert_eq!(other.problem(), "422 IDEMPOTENCY_KEY_REUSED", "{field}");
    }
    assert_eq!(api.orders_stored().await, 1);
}

/// The orders of the previous version have no values in the new columns.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_the_previous_version_is_replayed_with_its_bytes() {
    let api = Api::start_with(&[("CURRENCIES", &"USD,EUR")]).await;
    api.world
        .database
        .execute(
            "WITH o AS (
                INSERT INTO sales.orders
                    (id, owner, idempotency_key, fingerprint, customer_id, total_amount, created_at, status)
                VALUES ('01990000-0000-7000-8000-000000000001', 'alice', 'key-1',
                    '\\x68292a663d1768bddd87587aa3b0ecdb693131beb94355f36af53f21f6d461e1',
                    'customer-1', 59.98, '2026-03-01T12:00:00Z', 'Pending Shipment')
                RETURNING id
            )
            INSERT INTO sales.order_items (order_id, line_no, product_id, quantity, unit_price)
            SELECT id, 1, 'widget', 2, 29.99 FROM o",
        )
        .await;
    let again = api.create("key-1", &two_widgets()).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"), "{again:?}");
    assert_eq!(
        again.text,
        r#"{"success":true,"data":{"orderId":"01990000-0000-7000-8000-000000000001","status":"Pending Shipment","customerId":"customer-1","items":[{"productId":"widget","quantity":2,"price":29.99}],"totalAmount":59.98,"createdAt":"2026-03-01T12:00:00.000Z"}}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_survives_the_removal_of_its_currency() {
    let mut api = Api::start_with(&[("CURRENCIES", &"EUR,USD")]).await;
    let mut order = two_widgets();
    order["currency"] = "USD".into();
    let first = api.create("key-1", &order).await;
    assert_eq!(first.status, 201);
    api.world.set("CURRENCIES", "EUR");
    let api = Api::start_in(api.world).await;
    let again = api.create("key-1", &order).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    assert_eq!(api.create("key-2", &order).await.problem(), "400 VALIDATION_FAILED");
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
