//! Outbox events without an order.

use chrono::{SubsecRound, Utc};
use contracts::cloud_events::data_schema;
use contracts::order_events::{ORDER_CREATED, ORDER_CREATED_VERSION};
use domain::OrderId;
use store::outbox::{EventHeaders, OutboxEvent, enqueue};
use uuid::Uuid;

use crate::World;

/// An event of `order` with this payload, which may have any size.
pub fn outbox_event(world: &World, order: OrderId, payload: &str) -> OutboxEvent {
    OutboxEvent {
        event_id: Uuid::new_v4(),
        aggregate_id: order,
        topic: world.topics.order_events.clone(),
        event_type: ORDER_CREATED.into(),
        payload: payload.into(),
        headers: EventHeaders {
            source: "/test".into(),
            data_schema: data_schema(ORDER_CREATED, ORDER_CREATED_VERSION),
            correlation_id: Some("checkout-17".into()),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            tracestate: None,
        },
        occurred_at: Utc::now().trunc_subsecs(3),
    }
}

/// Puts events into the outbox.
pub async fn put_into_outbox(world: &World, events: &[OutboxEvent]) {
    enqueue(&mut world.store().connection().await.unwrap(), events).await.unwrap();
}
