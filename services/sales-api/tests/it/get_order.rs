use reqwest::Method;

use crate::api::{Api, Response, new_order_id, operator, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_shown_with_its_history() {
    let api = Api::start().await;
    let created = api.create("key-1", &two_widgets()).await.json()["data"].clone();
    let shown = api.get_as("alice", &format!("/api/orders/{}", new_order_id(&created))).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let order = shown.json()["data"].clone();
    assert_eq!(
        (&order["orderId"], &order["createdAt"]),
        (&created["orderId"], &created["createdAt"])
    );
    assert_eq!(order["statusHistory"][0]["at"], created["createdAt"]);
    assert_eq!(order["updatedAt"], created["createdAt"]);
    let differing =
        ["/data/orderId", "/data/createdAt", "/data/updatedAt", "/data/statusHistory/0/at"];
    insta::assert_snapshot!(shown.without(&differing), @r#"
    {
      "data": {
        "createdAt": "...",
        "currency": "EUR",
        "customerId": "customer-1",
        "items": [{"price":29.99,"productId":"widget","quantity":2}],
        "orderId": "...",
        "status": "Pending Shipment",
        "statusHistory": [{"at":"...","status":"Pending Shipment"}],
        "totalAmount": 59.98,
        "updatedAt": "..."
      },
      "success": true
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_another_subject_is_not_found() {
    let api = Api::start().await;
    let path = api.place("key-1").await;
    assert_eq!(api.get_as("mallory", &path).await.problem(), "404 ORDER_NOT_FOUND");
    let request = api.request(Method::GET, &path).header("Authorization", operator());
    assert_eq!(Response::of(request).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_change_is_that_of_the_history() {
    let api = Api::start().await;
    let path = api.place("key-1").await;
    api.world
        .database
        .execute(
            "UPDATE sales.orders SET status = 'Shipped';
             INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
             SELECT id, 2, 'Shipped', gen_random_uuid(), '2030-01-02T03:04:05.678Z' FROM sales.orders",
        )
        .await;
    let read = api.get_as("alice", &path).await.json()["data"].clone();
    let listed = api.get_as("alice", "/api/orders").await.json()["data"]["orders"][0].clone();
    for order in [read, listed] {
        assert_eq!(order["updatedAt"], "2030-01-02T03:04:05.678Z", "{order:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_operators_get_the_owner_of_an_order() {
    let api = Api::start().await;
    let path = api.place("key-1").await;
    let as_operator = async |method: Method, path: &str| {
        let request = api.request(method, path).header("Authorization", operator());
        Response::of(request).await.json()["data"].clone()
    };
    let cancel = format!("{path}/cancel");
    for order in [
        as_operator(Method::GET, &path).await,
        as_operator(Method::POST, &cancel).await,
        as_operator(Method::GET, "/api/orders").await["orders"][0].clone(),
    ] {
        assert_eq!(order["owner"], "alice", "{order:#}");
    }
    for path in [path.as_str(), "/api/orders"] {
        let response = api.get_as("alice", path).await;
        assert_eq!(response.status, 200);
        assert!(!response.text.contains("owner"), "{}", response.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_order_is_not_found() {
    let api = Api::start().await;
    for id in ["0199c0de-0000-7000-8000-000000000000", "no-uuid"] {
        let response = api.get_as("alice", &format!("/api/orders/{id}")).await;
        assert_eq!(response.problem(), "404 ORDER_NOT_FOUND", "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_history_come_from_one_snapshot() {
    let api = Api::start().await;
    let path = api.place("key-1").await;
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
