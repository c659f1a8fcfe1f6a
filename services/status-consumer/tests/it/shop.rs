//! Creates orders, and publishes delivery events for them.

use std::collections::HashSet;

use chrono::{DateTime, SubsecRound, Utc};
use contracts::cloud_events::{Attributes, data_schema};
use contracts::delivery_events::{DELIVERY_VERSION, DeliveryEvent, event_type};
use contracts::event_id::event_id;
use domain::{DeliveryStep, Fingerprint, OrderDraft, OrderId, OrderLine};
use store::orders::{NewOrder, insert_batch};
use store::outbox::{EventHeaders, OutboxEvent};
use test_kit::{PlainRecord, World, eventually, produce, produce_all};

/// Inserts an order into the database, as the API would.
pub(crate) async fn place(world: &World) -> OrderId {
    let id = OrderId::generate();
    let line = OrderLine {
        product_id: "widget".to_owned().try_into().unwrap(),
        quantity: 1.try_into().unwrap(),
        price: "29.99".parse().unwrap(),
    };
    let draft = OrderDraft::new("customer-1".to_owned().try_into().unwrap(), vec![line]).unwrap();
    let order = NewOrder {
        id,
        owner: "alice".to_owned().try_into().unwrap(),
        idempotency_key: id.to_string().try_into().unwrap(),
        fingerprint: Fingerprint::of(&draft),
        draft,
        created_at: now(),
        event: OutboxEvent {
            event_id: event_id(id, "order.created"),
            aggregate_id: id,
            topic: world.topics.order_events.clone(),
            event_type: "order.created".into(),
            payload: "{}".into(),
            headers: EventHeaders {
                source: "/test".into(),
                data_schema: data_schema("order.created", "1.0"),
                correlation_id: None,
                traceparent: None,
                tracestate: None,
            },
            occurred_at: now(),
        },
    };
    let store = world.store();
    assert_eq!(
        insert_batch(&mut store.connection().await.unwrap(), &[&order]).await.unwrap(),
        HashSet::from([id])
    );
    id
}

/// Publishes a step, as delivery-service would.
pub(crate) async fn report(world: &World, order: OrderId, step_taken: DeliveryStep) {
    let record = step(order, step_taken);
    produce_all(&world.stack, &world.topics.delivery_events, &[record]).await;
}

/// The record of a step.
pub(crate) fn step(order: OrderId, step: DeliveryStep) -> PlainRecord {
    let event = DeliveryEvent { order_id: order, step, at: now() };
    let (key, value) = (order.to_string(), Some(event.encode().unwrap()));
    PlainRecord { key, value, headers: attributes(&event).to_headers() }
}

pub(crate) async fn send(
    world: &World,
    key: &str,
    value: Option<&str>,
    headers: &[(String, String)],
) {
    produce(&world.stack, &world.topics.delivery_events, key, value, headers).await;
}

pub(crate) fn attributes(event: &DeliveryEvent) -> Attributes {
    let event_type = event_type(event.step);
    Attributes {
        id: event_id(event.order_id, event_type),
        source: "/delivery-service".into(),
        event_type: event_type.into(),
        time: event.at,
        subject: event.order_id.as_uuid(),
        data_schema: data_schema(event_type, DELIVERY_VERSION),
        correlation_id: None,
        trace: None,
    }
}

/// The statuses that an order had, oldest first.
pub(crate) async fn history(world: &World, order: OrderId) -> Vec<String> {
    let query = format!(
        "SELECT status FROM sales.order_status_history WHERE order_id = '{order}' ORDER BY sequence"
    );
    world.database.query(&query).await.iter().map(|row| row.get(0)).collect()
}

pub(crate) async fn until_delivered(world: &World, order: OrderId) {
    let query =
        format!("SELECT count(*) FROM sales.orders WHERE id = '{order}' AND status = 'Delivered'");
    eventually("the order is Delivered", async || {
        (world.database.count(&query).await == 1).then_some(())
    })
    .await;
}

pub(crate) fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}

/// Waits until the inbox contains exactly `left` events.
pub(crate) async fn until_inbox_contains(world: &World, left: i64) {
    eventually("the other events are deleted", async || {
        (world.database.count("SELECT count(*) FROM sales.inbox").await == left).then_some(())
    })
    .await;
}
