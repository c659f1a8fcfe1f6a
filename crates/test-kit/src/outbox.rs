//! Outbox events without an order.

use chrono::{SubsecRound, Utc};
use contracts::cloud_events::{Attributes, TraceContext, data_schema};
use contracts::message::EventMessage;
use contracts::order_events::{ORDER_CREATED, ORDER_CREATED_VERSION};
use domain::OrderId;
use store::outbox::enqueue;
use uuid::Uuid;

use crate::World;

/// An event of `order` with this payload, which may have any size.
pub fn outbox_event(world: &World, order: OrderId, payload: &str) -> EventMessage {
    let attributes = Attributes {
        id: Uuid::new_v4(),
        source: "/test".into(),
        event_type: ORDER_CREATED.into(),
        time: Utc::now().trunc_subsecs(3),
        subject: order.as_uuid(),
        data_schema: data_schema(ORDER_CREATED, ORDER_CREATED_VERSION),
        correlation_id: Some("checkout-17".into()),
        trace: Some(TraceContext {
            traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
            tracestate: None,
        }),
    };
    EventMessage { topic: world.topics.order_events.clone(), attributes, payload: payload.into() }
}

/// Puts events into the outbox.
pub async fn put_into_outbox(world: &World, events: &[EventMessage]) {
    enqueue(&mut world.store().connection().await.unwrap(), events).await.unwrap();
}

/// Puts events into the dead letters of the outbox, as if Kafka had refused them for this reason.
pub async fn put_into_dead_letters(world: &World, events: &[EventMessage], reason: &str) {
    put_into_outbox(world, events).await;
    let move_all = format!(
        "INSERT INTO sales.outbox_dead_letters
            (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, created_at, attempts, reason)
         SELECT shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, created_at, 1, '{reason}'
         FROM sales.outbox_events ORDER BY seq;
         DELETE FROM sales.outbox_events"
    );
    world.database.execute(&move_all).await;
}
