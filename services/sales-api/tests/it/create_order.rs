use std::time::Duration;

use serde_json::json;
use store::outbox::{Listener, Notification, shard_of};
use test_kit::eventually;
use tokio::time::timeout;

use crate::api::{Api, order_of, two_widgets};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_accepted_with_its_total() {
    let api = Api::start().await;
    let response = api
        .create_with(|request| {
            request
                .header("Idempotency-Key", "key-1")
                .header("Content-Type", "application/json")
                .body(
                    r#"{"customerId":"customer-1","items":[
                    {"productId":"widget","quantity":3,"price":0.10},
                    {"productId":"gadget","quantity":1,"price":2.999e1}]}"#,
                )
        })
        .await;
    assert_eq!(response.status, 201, "{response:?}");
    let id = response.json()["data"]["orderId"].as_str().unwrap().to_owned();
    let created_at = response.json()["data"]["createdAt"].as_str().unwrap().to_owned();
    assert_eq!(response.header("location"), Some(format!("/api/orders/{id}").as_str()));
    assert_eq!(response.header("idempotent-replayed"), None);
    assert_eq!(
        response.text,
        format!(
            r#"{{"success":true,"data":{{"orderId":"{id}","status":"Pending Shipment","customerId":"customer-1","items":[{{"productId":"widget","quantity":3,"price":0.10}},{{"productId":"gadget","quantity":1,"price":29.99}}],"totalAmount":30.29,"createdAt":"{created_at}"}}}}"#
        )
    );
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

    let rows = api
        .world
        .database
        .query(
            "SELECT o.owner, o.idempotency_key, o.total_amount::text, h.sequence, h.status, e.topic, e.event_type,
                    e.payload::text, e.headers->>'correlation_id', h.event_id = e.event_id, i.unit_price::text
             FROM sales.orders o
             JOIN sales.order_items i ON i.order_id = o.id
             JOIN sales.order_status_history h ON h.order_id = o.id
             JOIN sales.outbox_events e ON e.aggregate_id = o.id",
        )
        .await;
    assert_eq!(rows.len(), 1);
    let text = |column: usize| rows[0].get::<_, String>(column);
    assert_eq!([text(0), text(1), text(2)], ["alice", "key-1", "59.98"]);
    assert_eq!((rows[0].get::<_, i16>(3), text(4).as_str()), (1, "Pending Shipment"));
    assert_eq!(
        [text(5), text(6)],
        [api.world.topics.order_events.clone(), "order.created".to_owned()]
    );
    let event: serde_json::Value = serde_json::from_str(&text(7)).unwrap();
    assert_eq!(
        event,
        json!({
            "orderId": order["orderId"], "sequence": 1, "customerId": "customer-1",
            "items": order["items"], "totalAmount": order["totalAmount"], "createdAt": order["createdAt"],
        })
    );
    assert_eq!(
        (text(8).as_str(), rows[0].get::<_, bool>(9), text(10).as_str()),
        ("checkout-17", true, "29.99")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn insufficient_stock_is_refused_with_the_shortages_and_stores_nothing() {
    let api = Api::start().await;
    let mut order = order_of("limited-edition", 2);
    order["items"].as_array_mut().unwrap().extend([
        crate::api::item("limited-edition", 2),
        crate::api::item("out-of-stock-thing", 1),
        crate::api::item("widget", 1),
    ]);
    let response = api.create("key-1", &order).await;
    assert_eq!(response.problem(), (422, "INSUFFICIENT_INVENTORY".to_owned()));
    assert_eq!(
        response.json()["shortages"],
        json!([
            { "productId": "limited-edition", "requested": 4, "available": 3 },
            { "productId": "out-of-stock-thing", "requested": 1, "available": 0 },
        ])
    );
    assert_eq!(api.orders_stored().await, 0);

    // A refused create does not use up its key.
    assert_eq!(api.create("key-1", &two_widgets()).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_are_notified_when_an_order_is_stored() {
    let api = Api::start().await;
    let mut listener = Listener::connect(&api.world.store()).await.unwrap();
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
        let response = api.create(&format!("key-{number}"), &two_widgets()).await;
        let path = response.header("location").unwrap().to_owned();
        assert_eq!((response.status, api.get_as("alice", &path).await.status), (201, 200));
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
