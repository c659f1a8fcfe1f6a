//! The two requests of the contract, sent byte for byte as it prints them.

use serde_json::Value;
use test_kit::bearer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::{Api, new_order_id, without};

const CREATE_BODY: &str = r#"{
  "customerId": "customer-123",
  "items": [
    {
      "productId": "product-456",
      "quantity": 2,
      "price": 29.99
    }
  ]
}"#;

const SIMULATE_BODY: &str = r#"{
  "status": "shipped"  // or "delivered"
}"#;

/// Sends a request as printed, and returns the status and the body of the response. Adds what HTTP
/// requires and the contract omits: the version, `Host`, and the length of the body.
async fn send(api: &Api, printed: &str) -> (u16, Value) {
    let (head, body) = printed.split_once("\n\n").unwrap();
    let (request_line, headers) = head.split_once('\n').unwrap();
    let headers = headers.replace('\n', "\r\n");
    let (address, length) = (api.address(), body.len());
    let request = format!(
        "{request_line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n\r\n{body}"
    );
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    connection.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_create_and_simulation_requests_work() {
    let api = Api::start_with(&[("SIMULATE_DELIVERY", &"owner")]).await;
    let token = bearer("alice");

    let (status, created) = send(
        &api,
        &format!(
            "POST /api/orders\nAuthorization: {token}\nIdempotency-Key: key-1\nContent-Type: application/json\n\n{CREATE_BODY}"
        ),
    )
    .await;
    assert_eq!(status, 201, "{created}");
    let id = new_order_id(&created["data"]);
    let shown = without(created, &["/data/orderId", "/data/createdAt"]);
    insta::assert_snapshot!(shown, @r#"
    {
      "data": {
        "createdAt": "...",
        "customerId": "customer-123",
        "items": [{"price":29.99,"productId":"product-456","quantity":2}],
        "orderId": "...",
        "status": "Pending Shipment",
        "totalAmount": 59.98
      },
      "success": true
    }
    "#);

    let (status, simulated) = send(
        &api,
        &format!(
            "POST /api/orders/{id}/simulate-delivery\nAuthorization: {token}\nContent-Type: application/json\n\n{SIMULATE_BODY}"
        ),
    )
    .await;
    assert_eq!(status, 200, "{simulated}");
    insta::assert_snapshot!(simulated.to_string().replace(&id, "ID"), @r#"{"message":"Simulated shipped event for order ID","success":true}"#);
}
