use reqwest::Method;
use serde_json::{Value, json};
use test_kit::bearer;

use crate::api::{Api, Response, item, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn every_body_error_is_reported_with_its_pointer() {
    let api = Api::start().await;
    let body = json!({ "customerId": "", "items": [
        { "productId": "widget", "quantity": 0, "price": 1.999 },
        { "productId": " ", "quantity": 1, "price": -1 },
    ] });
    let response = api.create("key-1", &body).await;
    assert_eq!(response.problem(), (400, "VALIDATION_FAILED".to_owned()));
    assert_eq!(
        response.json()["errors"],
        json!([
            { "pointer": "/customerId", "detail": "must be 1 to 64 characters long" },
            { "pointer": "/items/0/quantity", "detail": "must be a whole number from 1 to 1000000" },
            { "pointer": "/items/0/price", "detail": "must have at most two decimals" },
            { "pointer": "/items/1/productId", "detail": "must not begin or end with white space" },
            { "pointer": "/items/1/price", "detail": "must not be negative" },
        ])
    );
    assert_eq!(api.orders_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_json_is_malformed() {
    let api = Api::start().await;
    let response = api
        .create_with(|request| {
            request
                .header("Idempotency-Key", "k")
                .header("Content-Type", "application/json")
                .body("{\"customerId\":")
        })
        .await;
    assert_eq!(response.problem(), (400, "MALFORMED_JSON".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_media_type_is_refused() {
    let api = Api::start().await;
    let response = api
        .create_with(|request| {
            request.header("Idempotency-Key", "k").header("Content-Type", "text/plain").body("{}")
        })
        .await;
    assert_eq!(response.problem(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_is_refused_with_the_accepted_encoding() {
    let api = Api::start().await;
    let response = api
        .create_with(|request| {
            request
                .header("Idempotency-Key", "k")
                .header("Content-Encoding", "gzip")
                .json(&two_widgets())
        })
        .await;
    assert_eq!(response.problem(), (415, "UNSUPPORTED_MEDIA_TYPE".to_owned()));
    assert_eq!(response.header("accept-encoding"), Some("identity"));
    let plain = api
        .create_with(|request| {
            request
                .header("Idempotency-Key", "k")
                .header("Content-Encoding", "identity")
                .json(&two_widgets())
        })
        .await;
    assert_eq!(plain.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused() {
    let api = Api::start().await;
    let bytes = json!({ "customerId": "c".repeat(300 * 1024), "items": [] });
    assert_eq!(api.create("key-1", &bytes).await.problem(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
    let lines: Vec<Value> = (0..201).map(|_| item("widget", 1)).collect();
    let lines = json!({ "customerId": "c", "items": lines });
    assert_eq!(api.create("key-1", &lines).await.problem(), (413, "PAYLOAD_TOO_LARGE".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_one_well_formed_idempotency_key_is_required() {
    let api = Api::start().await;
    let missing = api.create_with(|request| request.json(&two_widgets())).await;
    let twice = api
        .create_with(|request| {
            request
                .header("Idempotency-Key", "a")
                .header("Idempotency-Key", "b")
                .json(&two_widgets())
        })
        .await;
    let too_long = api.create(&"k".repeat(256), &two_widgets()).await;
    let half_quoted = api.create("\"k", &two_widgets()).await;
    for response in [missing, twice, too_long, half_quoted] {
        assert_eq!(response.problem(), (400, "INVALID_IDEMPOTENCY_KEY".to_owned()));
        assert_eq!(response.json()["errors"][0]["pointer"], "header:Idempotency-Key");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_key_and_body_are_reported_together() {
    let api = Api::start().await;
    let response =
        api.create_with(|request| request.json(&json!({ "customerId": "c", "items": [] }))).await;
    assert_eq!(response.problem(), (400, "VALIDATION_FAILED".to_owned()));
    let pointers: Vec<_> = response.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pointers, ["/items", "header:Idempotency-Key"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_path_gets_404_and_an_unknown_method_405() {
    let api = Api::start().await;
    let send = |method, path| {
        Response::of(api.request(method, path).header("Authorization", bearer("alice")))
    };
    let nowhere = send(Method::GET, "/api/nowhere").await;
    assert_eq!(nowhere.problem(), (404, "NOT_FOUND".to_owned()));
    for (path, allowed) in [
        ("/api/orders", "GET, HEAD, POST, OPTIONS"),
        ("/api/orders/1", "GET, HEAD, OPTIONS"),
        ("/api/orders/1/simulate-delivery", "POST, OPTIONS"),
        ("/health", "GET, HEAD, OPTIONS"),
    ] {
        let response = send(Method::DELETE, path).await;
        assert_eq!(response.problem(), (405, "METHOD_NOT_ALLOWED".to_owned()));
        assert_eq!(response.header("allow"), Some(allowed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_safe_correlation_id_is_echoed_and_an_unsafe_one_is_replaced() {
    let api = Api::start().await;
    let returned_id = async |id: &str| {
        let response =
            Response::of(api.request(Method::GET, "/health").header("X-Correlation-ID", id)).await;
        response.header("x-correlation-id").unwrap().to_owned()
    };
    assert_eq!(returned_id("checkout-17_a.b").await, "checkout-17_a.b");
    for unsafe_id in ["a b", "a\"b", "<script>", &"x".repeat(129)] {
        let made = returned_id(unsafe_id).await;
        assert!(made.parse::<uuid::Uuid>().is_ok(), "{made}");
    }
}
