use reqwest::Method;
use serde_json::json;

use crate::api::{Api, Response, item, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn every_body_error_is_reported_with_its_pointer() {
    let api = Api::start().await;
    let body = json!({ "customerId": "", "items": [
        { "productId": "widget", "quantity": 0, "price": 1.999 },
        { "productId": " ", "quantity": 1, "price": -1 },
    ] });
    // The error of the missing key is reported together with those of the body.
    let response = api.create_with(|request| request.json(&body)).await;
    assert_eq!(response.problem(), "400 VALIDATION_FAILED");
    insta::assert_snapshot!(response.without(&["/correlationId"]), @r#"
    {
      "code": "VALIDATION_FAILED",
      "correlationId": "...",
      "detail": "the request is invalid, see errors",
      "errors": [
        {"detail":"must be 1 to 64 characters long","pointer":"/customerId"},
        {"detail":"must be a whole number from 1 to 1000000","pointer":"/items/0/quantity"},
        {"detail":"must have at most two decimals","pointer":"/items/0/price"},
        {"detail":"must not begin or end with white space","pointer":"/items/1/productId"},
        {"detail":"must not be negative","pointer":"/items/1/price"},
        {"detail":"Idempotency-Key is required","pointer":"header:Idempotency-Key"}
      ],
      "instance": "/api/orders",
      "status": 400,
      "success": false,
      "title": "Validation failed",
      "type": "/problems/validation-failed"
    }
    "#);
    assert_eq!(api.orders_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_cannot_be_read_is_refused_with_the_reason() {
    let api = Api::start().await;
    let good = two_widgets().to_string();
    let large = json!({ "customerId": "c".repeat(300 * 1024), "items": [] }).to_string();
    let items = json!({ "customerId": "c", "items": vec![item("widget", 1); 201] }).to_string();
    let long_key = "k".repeat(256);
    let key = |key| ("Idempotency-Key", key);
    let coding = |coding| ("Content-Encoding", coding);
    let json = ("Content-Type", "application/json");
    let invalid_key = "400 INVALID_IDEMPOTENCY_KEY";
    for (headers, body, problem) in [
        (vec![json, key("k")], "{\"customerId\":", "400 MALFORMED_JSON"),
        (vec![("Content-Type", "text/plain"), key("k")], "{}", "415 UNSUPPORTED_MEDIA_TYPE"),
        (vec![json, key("k"), coding("gzip")], &good, "415 UNSUPPORTED_MEDIA_TYPE"),
        (vec![json, key("k")], &large, "413 PAYLOAD_TOO_LARGE"),
        (vec![json, key("k")], &items, "413 PAYLOAD_TOO_LARGE"),
        (vec![json], &good, invalid_key),
        (vec![json, key("a"), key("b")], &good, invalid_key),
        (vec![json, key(&long_key)], &good, invalid_key),
        (vec![json, key("\"k")], &good, invalid_key),
    ] {
        let response = api.create_raw(&headers, body).await;
        let start: String = body.chars().take(40).collect();
        assert_eq!(response.problem(), problem, "{headers:?} {start}");
        let accepted = headers.contains(&coding("gzip")).then_some("identity");
        assert_eq!(response.header("accept-encoding"), accepted);
        if problem == invalid_key {
            assert_eq!(response.json()["errors"][0]["pointer"], "header:Idempotency-Key");
        }
    }
    let plain = api.create_raw(&[json, key("k"), coding("identity")], &good).await;
    assert_eq!(plain.status, 201);
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
