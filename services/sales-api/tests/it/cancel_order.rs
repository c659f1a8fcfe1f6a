use contracts::event_id::event_id;
use contracts::order_events::ORDER_CANCELLATION_REQUESTED;
use domain::OrderId;
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use test_kit::bearer;

use crate::api::{Api, Response, operator};

async fn cancel(api: &Api, token: &str, order: &str, body: &Value) -> Response {
    let path = format!("/api/orders/{order}/cancel");
    Response::of(api.request(Method::POST, &path).header("Authorization", token).json(body)).await
}

/// A request with exactly these headers and this body.
async fn cancel_raw(api: &Api, order: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let path = format!("/api/orders/{order}/cancel");
    let request = api.request(Method::POST, &path).header("Authorization", bearer("alice"));
    let request = request.body(body.to_owned());
    let with = |request: reqwest::RequestBuilder, (name, value): &(&str, &str)| {
        request.header(*name, *value)
    };
    Response::of(headers.iter().fold(request, with)).await
}

async fn placed(api: &Api) -> String {
    api.place("key-1").await.replace("/api/orders/", "")
}

fn reason() -> Value {
    json!({ "reason": "ordered twice" })
}

async fn requests(api: &Api) -> i64 {
    api.world.database.count("SELECT count(*) FROM sales.order_cancellations").await
}

async fn events(api: &Api) -> i64 {
    let events = format!(
        "SELECT count(*) FROM sales.outbox_events WHERE event_type = '{ORDER_CANCELLATION_REQUESTED}'"
    );
    api.world.database.count(&events).await
}

/// Sets the status of the order, as status-consumer does.
async fn set_status(api: &Api, order: &str, status: &str) {
    let sql = format!(
        "UPDATE sales.orders SET status = '{status}' WHERE id = '{order}';
         INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
         VALUES ('{order}', 2, '{status}', gen_random_uuid(), now())"
    );
    api.world.database.execute(&sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_stored_with_its_event() {
    let api = Api::start().await;
    let order = placed(&api).await;
    let response = cancel(&api, &bearer("alice"), &order, &reason()).await;
    assert_eq!(response.status, 202, "{response:?}");
    let data = &response.json()["data"];
    assert_eq!(
        (&data["status"], &data["cancellation"]),
        (&"Pending Shipment".into(), &"requested".into())
    );
    let request = &data["cancellationRequest"];
    assert_eq!(
        (&request["requestedBy"], &request["reason"]),
        (&"alice".into(), &"ordered twice".into())
    );

    let event = "SELECT event_id::text, topic, payload #>> '{}', shard,
            (SELECT min(shard) FROM sales.outbox_events)
        FROM sales.outbox_events ORDER BY seq DESC LIMIT 1";
    let row = api.world.database.query(event).await.remove(0);
    let id: OrderId = order.parse().unwrap();
    let event_id = event_id(id, ORDER_CANCELLATION_REQUESTED).to_string();
    assert_eq!(row.get::<_, String>(0), event_id);
    assert_eq!(row.get::<_, String>(1), api.world.topics.order_events);
    let payload: Value = serde_json::from_str(row.get(2)).unwrap();
    let at = &request["requestedAt"];
    assert_eq!(payload, json!({ "orderId": order, "reason": "ordered twice", "requestedAt": at }));
    // In the same shard, it is published after the event that created the order.
    assert_eq!(row.get::<_, i16>(3), row.get::<_, i16>(4));

    let read = api.get_as("alice", &format!("/api/orders/{order}")).await;
    assert_eq!(read.json()["data"], *data);
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_and_concurrent_requests_get_the_same_response() {
    let api = Api::start().await;
    let order = placed(&api).await;
    let reasons: Vec<Value> = (0..8).map(|n| json!({ "reason": format!("reason {n}") })).collect();
    let token = bearer("alice");
    let all = join_all(reasons.iter().map(|body| cancel(&api, &token, &order, body))).await;
    let first = all[0].json();
    for response in &all {
        assert_eq!((response.status, response.json()), (202, first.clone()));
    }
    assert_eq!((requests(&api).await, events(&api).await), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_is_optional() {
    let api = Api::start().await;
    for (number, (headers, body)) in [
        (&[][..], ""),
        (&[("Content-Type", "application/json")][..], ""),
        (&[("Content-Type", "application/json")][..], "{}"),
    ]
    .into_iter()
    .enumerate()
    {
        let order = api.place(&format!("key-{number}")).await.replace("/api/orders/", "");
        let response = cancel_raw(&api, &order, headers, body).await;
        assert_eq!(response.status, 202, "{response:?}");
        assert_eq!(response.json()["data"]["cancellationRequest"].get("reason"), None);
    }
    let order = placed(&api).await;
    let untyped = cancel_raw(&api, &order, &[], "{}").await;
    assert_eq!(untyped.problem(), "415 UNSUPPORTED_MEDIA_TYPE");
    let text = cancel_raw(&api, &order, &[("Content-Type", "text/plain")], "").await;
    assert_eq!(text.problem(), "415 UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_body_stores_no_request() {
    let api = Api::start().await;
    let order = placed(&api).await;
    for body in [
        json!({ "reason": "x".repeat(201) }),
        json!({ "reason": "" }),
        json!({ "reason": 7 }),
        json!({ "reson": "typo" }),
        json!(["ordered twice"]),
        json!("ordered twice"),
        Value::Null,
    ] {
        let response = cancel(&api, &bearer("alice"), &order, &body).await;
        assert_eq!(response.problem(), "400 VALIDATION_FAILED", "{body}");
    }
    let json = [("Content-Type", "application/json")];
    assert_eq!(cancel_raw(&api, &order, &json, "{").await.problem(), "400 MALFORMED_JSON");
    assert_eq!((requests(&api).await, events(&api).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_and_operators_can_cancel_an_order() {
    let api = Api::start().await;
    let order = placed(&api).await;
    let missing = "404 ORDER_NOT_FOUND";
    assert_eq!(cancel(&api, &bearer("bob"), &order, &reason()).await.problem(), missing);
    assert_eq!(cancel(&api, &bearer("alice"), "17", &reason()).await.problem(), missing);
    let unknown = OrderId::generate().to_string();
    assert_eq!(cancel(&api, &bearer("alice"), &unknown, &reason()).await.problem(), missing);
    assert_eq!((requests(&api).await, events(&api).await), (0, 0));
    let response = cancel(&api, &operator(), &order, &reason()).await;
    assert_eq!(response.status, 202, "{response:?}");
    let by = "SELECT requested_by FROM sales.order_cancellations";
    assert_ne!(api.world.database.query(by).await[0].get::<_, String>(0), "alice");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_has_shipped_cannot_be_cancelled() {
    let api = Api::start().await;
    let order = placed(&api).await;
    set_status(&api, &order, "Shipped").await;
    let response = cancel(&api, &bearer("alice"), &order, &reason()).await;
    assert_eq!(response.problem(), "409 ALREADY_SHIPPED");
    assert_eq!(response.json()["detail"], "the order is Shipped: it cannot be cancelled any more");
    api.world.database.execute("UPDATE sales.orders SET status = 'Delivered'").await;
    let response = cancel(&api, &bearer("alice"), &order, &reason()).await;
    assert_eq!(response.problem(), "409 ALREADY_SHIPPED");
    assert_eq!((requests(&api).await, events(&api).await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_names_who_cancelled_it_and_why() {
    let api = Api::start().await;
    let order = placed(&api).await;
    assert_eq!(cancel(&api, &bearer("alice"), &order, &reason()).await.status, 202);
    let path = format!("/api/orders/{order}");
    let tag = api.get_as("alice", &path).await.header("etag").unwrap().to_owned();
    set_status(&api, &order, "Cancelled").await;
    for response in
        [cancel(&api, &bearer("alice"), &order, &json!({})).await, api.get_as("alice", &path).await]
    {
        assert_eq!(response.status, 200, "{response:?}");
        let data = &response.json()["data"];
        assert_eq!(
            (&data["status"], &data["cancellation"]),
            (&"Cancelled".into(), &"cancelled".into())
        );
        let change = &data["statusHistory"][1];
        assert_eq!(change["status"], "Cancelled");
        assert_eq!(
            (&change["reason"], &change["requestedBy"]),
            (&"ordered twice".into(), &"alice".into())
        );
        assert_eq!(data["statusHistory"][0].get("requestedBy"), None);
    }
    assert_ne!(api.get_as("alice", &path).await.header("etag"), Some(tag.as_str()));
    let listed = api.get_as("alice", "/api/orders?status=Cancelled").await;
    assert_eq!(listed.json()["data"]["orders"][0]["orderId"], order);
    assert_eq!(events(&api).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_shown_with_its_reason() {
    let api = Api::start().await;
    let order = placed(&api).await;
    assert_eq!(cancel(&api, &bearer("alice"), &order, &reason()).await.status, 202);
    set_status(&api, &order, "Shipped").await;
    let refuse = "UPDATE sales.order_cancellations
        SET refusal = 'ALREADY_SHIPPED', refused_at = '2026-03-01T12:00:04Z'";
    api.world.database.execute(refuse).await;
    let read = api.get_as("alice", &format!("/api/orders/{order}")).await;
    let data = &read.json()["data"];
    assert_eq!(data["cancellation"], "refused");
    assert_eq!(
        data["cancellationRequest"]["refusal"],
        json!({ "reason": "ALREADY_SHIPPED", "at": "2026-03-01T12:00:04.000Z" })
    );
    let again = cancel(&api, &bearer("alice"), &order, &reason()).await;
    assert_eq!(again.problem(), "409 ALREADY_SHIPPED");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_is_simulated_while_a_cancellation_is_undecided() {
    let api = Api::start_with(&[("SIMULATE_DELIVERY", &"owner")]).await;
    let order = placed(&api).await;
    assert_eq!(cancel(&api, &bearer("alice"), &order, &json!({})).await.status, 202);
    let path = format!("/api/orders/{order}/simulate-delivery");
    let body = json!({ "status": "shipped" });
    let request = api.request(Method::POST, &path).header("Authorization", bearer("alice"));
    assert_eq!(Response::of(request.json(&body)).await.problem(), "409 ORDER_STATUS_CONFLICT");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_do_is_recorded_with_its_outcome() {
    let api = Api::start_with(&[("SIMULATE_DELIVERY", &"owner")]).await;
    let order = placed(&api).await;
    // Owners are no operators.
    assert_eq!(cancel(&api, &bearer("alice"), &order, &reason()).await.status, 202);
    assert_eq!(cancel(&api, &operator(), &order, &reason()).await.status, 202);
    set_status(&api, &order, "Shipped").await;
    assert_eq!(cancel(&api, &operator(), &order, &json!({})).await.status, 409);
    let path = format!("/api/orders/{order}/simulate-delivery");
    let simulate = api.request(Method::POST, &path).header("Authorization", operator());
    let simulate = simulate.json(&json!({ "status": "delivered" }));
    assert_eq!(Response::of(simulate).await.status, 200);

    let actions = "SELECT concat_ws(' | ', action, parameters, outcome) FROM sales.operator_actions
        WHERE subject <> 'alice' AND finished_at >= started_at ORDER BY id";
    let rows = api.world.database.query(actions).await;
    let rows: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let late = "failed: the order is Shipped: it cannot be cancelled any more";
    assert_eq!(
        rows,
        [
            format!(
                r#"cancel order | {{"orderId":"{order}","reason":"ordered twice"}} | requested"#
            ),
            format!(r#"cancel order | {{"orderId":"{order}","reason":null}} | {late}"#),
            format!(
                r#"simulate delivery | {{"orderId":"{order}","step":"delivered"}} | event stored"#
            ),
        ]
    );
    let all = "SELECT count(*) FROM sales.operator_actions";
    assert_eq!(api.world.database.count(all).await, 3);
}
