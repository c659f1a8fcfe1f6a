//! The two requests of the contract, sent byte for byte as it prints them.

use serde_json::{Value, json};
use test_kit::{World, bearer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::Api;

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
async fn both_requests_of_the_contract_work_as_printed() {
    let mut world = World::create().await;
    world.set("SIMULATE_DELIVERY", "owner");
    let api = Api::start_in(world).await;
    let token = bearer("alice");

    let (status, created) = send(
        &api,
        &format!(
            "POST /api/orders\nAuthorization: {token}\nIdempotency-Key: key-1\nContent-Type: application/json\n\n{CREATE_BODY}"
        ),
    )
    .await;
    assert_eq!(status, 201, "{created}");
    let (id, created_at) = (&created["data"]["orderId"], &created["data"]["createdAt"]);
    assert_eq!(
        created,
        json!({
            "success": true,
            "data": {
                "orderId": id,
                "status": "Pending Shipment",
                "customerId": "customer-123",
                "items": [{ "productId": "product-456", "quantity": 2, "price": 29.99 }],
                "totalAmount": 59.98,
                "createdAt": created_at,
            },
        })
    );

    let id = id.as_str().unwrap();
    let (status, simulated) = send(
        &api,
        &format!(
            "POST /api/orders/{id}/simulate-delivery\nAuthorization: {token}\nContent-Type: application/json\n\n{SIMULATE_BODY}"
        ),
    )
    .await;
    assert_eq!(status, 200, "{simulated}");
    let message = format!("Simulated shipped event for order {id}");
    assert_eq!(simulated, json!({ "success": true, "message": message }));
}
