use std::collections::HashSet;
use std::slice;

use reqwest::Method;
use serde_json::{Value, json};
use test_kit::bearer;

use crate::api::{Api, Response, item, operator};

async fn create_for(api: &Api, key: &str, customer: &str) -> String {
    let order = json!({ "customerId": customer, "items": [item("widget", 1)] });
    let response = api.create(key, &order).await;
    assert_eq!(response.status, 201, "{response:?}");
    response.json()["data"]["orderId"].as_str().unwrap().to_owned()
}

fn ids(page: &Response) -> Vec<String> {
    assert_eq!(page.status, 200, "{page:?}");
    let orders = page.json()["data"]["orders"].as_array().unwrap().clone();
    orders.iter().map(|order| order["orderId"].as_str().unwrap().to_owned()).collect()
}

fn next(page: &Response) -> Option<String> {
    page.json()["data"]["nextCursor"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_newest_first_and_contain_each_order_once() {
    let api = Api::start().await;
    let mut placed = Vec::new();
    for key in 0..7 {
        placed.push(create_for(&api, &key.to_string(), "customer-1").await);
    }
    placed.reverse();

    let mut page = api.get_as("alice", "/api/orders?limit=3").await;
    assert_eq!(page.json()["data"]["orders"][0]["totalAmount"].to_string(), "29.99");
    let mut listed = ids(&page);
    assert_eq!(listed.len(), 3);
    while let Some(cursor) = next(&page) {
        // An order that arrives meanwhile is newer and does not shift the pages.
        create_for(&api, &cursor, "customer-1").await;
        page = api.get_as("alice", &format!("/api/orders?limit=3&cursor={cursor}")).await;
        listed.extend(ids(&page));
    }
    assert_eq!(listed, placed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_can_be_filtered_by_customer_status_and_time() {
    let api = Api::start().await;
    let old = create_for(&api, "1", "customer-1").await;
    let other = create_for(&api, "2", "customer-2").await;
    let new = create_for(&api, "3", "customer-1").await;
    let shipped = format!("UPDATE sales.orders SET status = 'Shipped' WHERE id = '{old}'");
    api.world.database.execute(&shipped).await;
    let list = async |query: &str| ids(&api.get_as("alice", &format!("/api/orders?{query}")).await);

    assert_eq!(list("customerId=customer-1").await, [new.clone(), old.clone()]);
    assert_eq!(list("customerId=customer-2").await, slice::from_ref(&other));
    assert_eq!(list("status=Shipped").await, slice::from_ref(&old));
    assert_eq!(
        list("status=Pending%20Shipment&customerId=customer-1").await,
        slice::from_ref(&new)
    );
    assert!(list("status=Delivered").await.is_empty());
    assert_eq!(list("status=Shipped&status=Delivered").await, slice::from_ref(&old));
    let any = list("status=Shipped&status=Pending%20Shipment&customerId=customer-1").await;
    assert_eq!(any, [new.clone(), old.clone()]);
    assert_eq!(list("sort=-createdAt").await, [new.clone(), other.clone(), old.clone()]);
    assert_eq!(list("sort=createdAt").await, [old.clone(), other.clone(), new.clone()]);

    let created_at =
        api.get_as("alice", &format!("/api/orders/{other}")).await.json()["data"]["createdAt"]
            .as_str()
            .unwrap()
            .to_owned();
    // `createdAfter` includes the instant and `createdBefore` does not, so the two lists contain
    // each order once.
    let (after, before) = (
        list(&format!("createdAfter={created_at}")).await,
        list(&format!("createdBefore={created_at}")).await,
    );
    assert!(after.contains(&other) && !before.contains(&other));
    let both: HashSet<_> = after.iter().chain(&before).cloned().collect();
    assert_eq!(both, HashSet::from([old, other, new]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_the_oldest_orders_contain_each_order_once() {
    let api = Api::start().await;
    let mut placed = Vec::new();
    for key in 0..7 {
        placed.push(create_for(&api, &key.to_string(), "customer-1").await);
    }
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/orders?limit=3&sort=createdAt{cursor}");
        let page = api.get_as("alice", &path).await;
        listed.extend(ids(&page));
        let Some(next) = next(&page) else { break };
        // An order that arrives meanwhile is on a later page.
        if listed.len() == 3 {
            placed.push(create_for(&api, "new", "customer-1").await);
        }
        cursor = format!("&cursor={next}");
    }
    assert_eq!(listed, placed);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_their_external_reference() {
    let api = Api::start().await;
    let with_reference = async |key: &str, subject: &str, reference: &str| {
        let mut order = json!({ "customerId": "customer-1", "items": [item("widget", 1)] });
        order["externalReference"] = reference.into();
        let request = api.request(Method::POST, "/api/orders");
        let request = request.header("Authorization", bearer(subject));
        let created = Response::of(request.header("Idempotency-Key", key).json(&order)).await;
        created.json()["data"]["orderId"].as_str().unwrap().to_owned()
    };
    let first = with_reference("1", "alice", "N&1").await;
    with_reference("2", "alice", "N&2").await;
    let second = with_reference("3", "alice", "N&1").await;
    let of_bob = with_reference("4", "bob", "N&1").await;
    create_for(&api, "5", "customer-1").await;

    let path = "/api/orders?externalReference=N%261";
    let page = api.get_as("alice", path).await;
    assert_eq!(ids(&page), [second.clone(), first.clone()]);
    assert_eq!(page.json()["data"]["orders"][0]["externalReference"], "N&1");
    let oldest_first = format!("{path}&sort=createdAt&customerId=customer-1");
    assert_eq!(ids(&api.get_as("alice", &oldest_first).await), [first.clone(), second.clone()]);
    assert!(ids(&api.get_as("alice", &format!("{path}&status=Shipped")).await).is_empty());
    let request = api.request(Method::GET, path).header("Authorization", operator());
    assert_eq!(ids(&Response::of(request).await), [of_bob, second, first]);

    // The change feed has it too.
    let feed = api.get_as("alice", "/api/orders/events").await.json()["data"]["events"].clone();
    let references: Vec<_> =
        feed.as_array().unwrap().iter().map(|it| it["externalReference"].clone()).collect();
    assert_eq!(references, [json!("N&1"), json!("N&2"), json!("N&1"), Value::Null]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_lists_own_orders_and_an_operator_lists_all() {
    let api = Api::start().await;
    let order = create_for(&api, "1", "customer-1").await;
    assert!(ids(&api.get_as("bob", "/api/orders").await).is_empty());
    assert!(ids(&api.get_as("bob", "/api/orders?customerId=customer-1").await).is_empty());
    for path in ["/api/orders", "/api/orders?customerId=customer-1"] {
        let request = api.request(Method::GET, path).header("Authorization", operator());
        assert_eq!(ids(&Response::of(request).await), slice::from_ref(&order));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_list_or_another_subject_is_refused() {
    let api = Api::start().await;
    for key in ["1", "2"] {
        api.place(key).await;
    }
    let cursor = next(&api.get_as("alice", "/api/orders?limit=1").await).unwrap();
    for (subject, query) in [
        ("alice", format!("status=Shipped&cursor={cursor}")),
        ("alice", format!("status=Shipped&status=Delivered&cursor={cursor}")),
        ("alice", format!("sort=createdAt&cursor={cursor}")),
        ("alice", format!("externalReference=1001&cursor={cursor}")),
        ("bob", format!("cursor={cursor}")),
        ("alice", "cursor=AAAA".to_owned()),
    ] {
        let response = api.get_as(subject, &format!("/api/orders?{query}")).await;
        assert_eq!(response.problem(), "400 VALIDATION_FAILED");
        let detail = "is not a valid cursor for this subject and these filters; leave it out to begin with the first page";
        let errors = json!([{ "pointer": "query:cursor", "detail": detail }]);
        assert_eq!(response.json()["errors"], errors);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_error_is_reported() {
    let api = Api::start().await;
    let response = api.get_as("alice", "/api/orders?limit=1000&order=asc").await;
    assert_eq!(response.problem(), "400 VALIDATION_FAILED");
    insta::assert_snapshot!(response.without(&["/correlationId"]), @r#"
    {
      "code": "VALIDATION_FAILED",
      "correlationId": "...",
      "detail": "the request is invalid, see errors",
      "errors": [
        {"detail":"must be a whole number from 1 to 100","pointer":"query:limit"},
        {
          "detail": "is not a known parameter; known are customerId, externalReference, status, createdAfter, createdBefore, sort, limit, cursor",
          "pointer": "query:order"
        }
      ],
      "instance": "/api/orders",
      "status": 400,
      "success": false,
      "title": "Validation failed",
      "type": "/problems/validation-failed"
    }
    "#);
}
