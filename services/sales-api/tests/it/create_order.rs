use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use store::outbox::shard_of;
use store::shards::{Listener, Notification, QueueName};
use test_kit::{bearer, eventually};
use tokio::time::timeout;

use crate::api::{Api, item, new_order_id, order_of, two_widgets, with_all_fields, without};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_accepted_with_its_total() {
    let api = Api::start().await;
    let headers = [("Idempotency-Key", "key-1"), ("Content-Type", "application/json")];
    let body = r#"{"customerId":"customer-1","items":[
        {"productId":"widget","quantity":3,"price":0.10},
        {"productId":"gadget","quantity":1,"price":2.999e1}]}"#;
    let response = api.create_raw(&headers, body).await;
    assert_eq!(response.status, 201, "{response:?}");
    let order = &response.json()["data"];
    let id = new_order_id(order);
    assert_eq!(response.header("location"), Some(format!("/api/orders/{id}").as_str()));
    assert_eq!(response.header("idempotent-replayed"), None);
    let text = response.text.replace(&id, "ID");
    let text = text.replace(order["createdAt"].as_str().unwrap(), "TIME");
    insta::assert_snapshot!(text, @r#"{"success":true,"data":{"orderId":"ID","status":"Pending Shipment","customerId":"customer-1","items":[{"productId":"widget","quantity":3,"price":0.10},{"productId":"gadget","quantity":1,"price":29.99}],"totalAmount":30.29,"createdAt":"TIME"}}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_stored_whole_with_its_event() {
    let api = Api::start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let response = api
        .create_with(|request| {
            request
                .header("Idempotency-Key", "key-1")
                .header("X-Correlation-ID", "checkout-17")
                .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
                .json(&two_widgets())
        })
        .await;
    assert_eq!((response.status, response.header("x-correlation-id")), (201, Some("checkout-17")));
    let order = response.json()["data"].clone();

    let id = new_order_id(&order);
    let rows = api
        .world
        .database
        .query(
            "SELECT json_build_object(
                'owner', o.owner, 'key', o.idempotency_key, 'total', o.total_amount::text,
                'line', i.line_no, 'product', i.product_id, 'quantity', i.quantity, 'price', i.unit_price::text,
                'sequence', h.sequence, 'status', h.status, 'event_of_history', h.event_id = e.event_id,
                'topic', e.topic, 'type', e.event_type, 'correlation', e.headers->>'correlation_id', 'event', e.payload
             )::text
             FROM sales.orders o
             JOIN sales.order_items i ON i.order_id = o.id
             JOIN sales.order_status_history h ON h.order_id = o.id
             JOIN sales.outbox_events e ON e.aggregate_id = o.id",
        )
        .await;
    assert_eq!(rows.len(), 1);
    let stored: Value = serde_json::from_str(rows[0].get(0)).unwrap();
    assert_eq!(stored["topic"], api.world.topics.order_events);
    assert_eq!(stored["event"]["orderId"], id);
    assert_eq!(stored["event"]["createdAt"], order["createdAt"]);
    let stored = without(stored, &["/topic", "/event/orderId", "/event/createdAt"]);
    insta::assert_snapshot!(stored, @r#"
    {
      "correlation": "checkout-17",
      "event": {
        "createdAt": "...",
        "currency": "EUR",
        "customerId": "customer-1",
        "items": [{"price":29.99,"productId":"widget","quantity":2}],
        "orderId": "...",
        "sequence": 1,
        "totalAmount": 59.98
      },
      "event_of_history": true,
      "key": "key-1",
      "line": 1,
      "owner": "alice",
      "price": "29.99",
      "product": "widget",
      "quantity": 2,
      "sequence": 1,
      "status": "Pending Shipment",
      "topic": "...",
      "total": "59.98",
      "type": "order.created"
    }
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_optional_fields_are_in_the_responses_and_in_the_event() {
    let api = Api::start().await;
    let response = api.create("key-1", &with_all_fields()).await;
    assert_eq!(response.status, 201, "{response:?}");
    let order = &response.json()["data"];
    let id = new_order_id(order);
    let text = response.text.replace(&id, "ID");
    let text = text.replace(order["createdAt"].as_str().unwrap(), "TIME");
    insta::assert_snapshot!(text, @r#"{"success":true,"data":{"orderId":"ID","status":"Pending Shipment","customerId":"customer-1","externalReference":"1001","items":[{"productId":"widget","quantity":2,"price":29.99}],"totalAmount":59.98,"currency":"EUR","metadata":{"gift":"Grüße","lane":"4"},"createdAt":"TIME"}}"#);

    let read = api.get_as("alice", &format!("/api/orders/{id}")).await.json()["data"].clone();
    let events = api.world.database.query("SELECT payload::text FROM sales.outbox_events").await;
    let event: Value = serde_json::from_str(events[0].get(0)).unwrap();
    for field in ["externalReference", "currency", "metadata"] {
        assert_eq!(read[field], order[field], "{field}");
        assert_eq!(event[field], order[field], "{field}");
    }
    let listed = api.get_as("alice", "/api/orders").await.json()["data"]["orders"][0].clone();
    assert_eq!(listed["externalReference"], "1001");
    assert_eq!(listed["currency"], "EUR");
    assert_eq!(listed.get("metadata"), None);
}

/// `serde_json` reads an object with this key as a number, unless the type of the value is known.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_can_have_the_keys_that_serde_json_reserves() {
    let api = Api::start().await;
    let reserved = r#"{"$serde_json::private::Number":"x"}"#;
    let body =
        r#"{"customerId":"c","items":[{"productId":"p","quantity":1,"price":1}],"metadata":META}"#;
    let body = body.replace("META", reserved);
    let headers = [("Idempotency-Key", "key-1"), ("Content-Type", "application/json")];
    // The client of the other tests checks responses as such values.
    let send = async || {
        let request = api.request(Method::POST, "/api/orders").body(body.clone());
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.header("Authorization", bearer("alice")).send().await.unwrap();
        response.text().await.unwrap()
    };
    let first = send().await;
    assert!(first.contains(reserved), "{first}");
    assert_eq!(send().await, first);
    let list = api.get_as("alice", "/api/orders").await.json();
    let id = list["data"]["orders"][0]["orderId"].as_str().unwrap();
    let read = api.request(Method::GET, &format!("/api/orders/{id}"));
    let read = read.header("Authorization", bearer("alice")).send().await.unwrap();
    assert!(read.text().await.unwrap().contains(reserved));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_without_a_currency_is_in_the_first_one_of_the_setting() {
    let api = Api::start_with(&[("CURRENCIES", &"USD,EUR")]).await;
    let in_default = api.create("key-1", &two_widgets()).await;
    // The response of the original contract.
    assert_eq!(in_default.json()["data"].get("currency"), None);
    let in_euros = api.create("key-2", &with_all_fields()).await;
    assert_eq!(in_euros.json()["data"]["currency"], "EUR");
    for (created, currency) in [(in_default, "USD"), (in_euros, "EUR")] {
        let read = api.get_as("alice", created.header("location").unwrap()).await;
        assert_eq!(read.json()["data"]["currency"], currency);
    }
    let events = "SELECT payload->>'currency' FROM sales.outbox_events ORDER BY seq";
    let events = api.world.database.query(events).await;
    let currencies: Vec<&str> = events.iter().map(|row| row.get(0)).collect();
    assert_eq!(currencies, ["USD", "EUR"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_currency_is_refused() {
    let api = Api::start_with(&[("CURRENCIES", &"USD,EUR")]).await;
    let mut order = two_widgets();
    order["currency"] = "CHF".into();
    let refused = api.create("key-1", &order).await;
    assert_eq!(refused.problem(), "400 VALIDATION_FAILED");
    let unknown = json!({ "pointer": "/currency", "detail": "must be one of: USD, EUR" });
    assert_eq!(refused.json()["errors"], json!([unknown]));
    // Beside other errors, it is reported with them.
    order["customerId"] = "".into();
    let empty = json!({ "pointer": "/customerId", "detail": "must be 1 to 64 characters long" });
    assert_eq!(api.create("key-1", &order).await.json()["errors"], json!([empty, unknown]));
    assert_eq!(api.orders_stored().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn insufficient_stock_is_refused_with_the_shortages_and_stores_nothing() {
    let api = Api::start().await;
    let mut order = order_of("limited-edition", 2);
    order["items"].as_array_mut().unwrap().extend([
        item("limited-edition", 2),
        item("out-of-stock-thing", 1),
        item("widget", 1),
    ]);
    let response = api.create("key-1", &order).await;
    assert_eq!(response.problem(), "422 INSUFFICIENT_INVENTORY");
    insta::assert_snapshot!(response.without(&["/correlationId"]), @r#"
    {
      "code": "INSUFFICIENT_INVENTORY",
      "correlationId": "...",
      "detail": "insufficient stock",
      "instance": "/api/orders",
      "shortages": [
        {"available":3,"productId":"limited-edition","requested":4},
        {"available":0,"productId":"out-of-stock-thing","requested":1}
      ],
      "status": 422,
      "success": false,
      "title": "Insufficient inventory",
      "type": "/problems/insufficient-inventory"
    }
    "#);
    assert_eq!(api.orders_stored().await, 0);

    // A refused create does not use up its key.
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_are_notified_when_an_order_is_stored() {
    let api = Api::start().await;
    let mut listener = Listener::connect(&api.world.store(), QueueName::Outbox).await.unwrap();
    let response = api.create("key-1", &two_widgets()).await;
    let order = response.json()["data"]["orderId"].as_str().unwrap().parse().unwrap();
    let notification = timeout(Duration::from_secs(10), listener.next()).await.unwrap().unwrap();
    assert_eq!(notification, Notification::Events([shard_of(order)].into_iter().collect()));
}

/// PostgreSQL keeps plans, also those of foreign key checks, while the tables grow.
#[tokio::test(flavor = "multi_thread")]
async fn plans_made_for_empty_tables_use_indexes_on_full_ones() {
    let api = Api::start().await;
    // With these statistics of empty tables, PostgreSQL prefers sequential scans by default.
    api.world.database.execute("VACUUM ANALYZE").await;
    for number in 0..10 {
        let path = api.place(&format!("key-{number}")).await;
        assert_eq!(api.get_as("alice", &path).await.status, 200);
    }
    let Api { world, .. } = &api;
    let scans = eventually("the statistics contain all orders", async || {
        let rows = world
            .database
            .query(
                "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'sales'
                 AND (SELECT n_tup_ins = 10 FROM pg_stat_user_tables WHERE relid = 'sales.orders'::regclass)",
            )
            .await;
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    for row in scans {
        let (table, scans): (&str, i64) = (row.get(0), row.get(1));
        assert_eq!(scans, 0, "{table}");
    }
}
