//! An outbox with events in it, and relays that are driven step by step.

use chrono::{SubsecRound, Utc};
use contracts::cloud_events::data_schema;
use domain::OrderId;
use messaging::Publisher;
use outbox_relay::{Config, Relay};
use store::outbox::{EventHeaders, OutboxEvent, enqueue};
use test_kit::World;
use uuid::Uuid;

/// An event of `order`, with a value of any size.
pub(crate) fn event(world: &World, order: OrderId, payload: &str) -> OutboxEvent {
    OutboxEvent {
        event_id: Uuid::new_v4(),
        aggregate_id: order,
        topic: world.topics.order_events.clone(),
        event_type: "order.created".into(),
        payload: payload.into(),
        headers: EventHeaders {
            source: "/test".into(),
            data_schema: data_schema("order.created", "1.0"),
            correlation_id: Some("checkout-17".into()),
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
            tracestate: None,
        },
        occurred_at: Utc::now().trunc_subsecs(3),
    }
}

pub(crate) async fn put(world: &World, events: &[OutboxEvent]) {
    let store = world.store();
    enqueue(&mut store.connection().await.unwrap(), events).await.unwrap();
}

pub(crate) fn relay(world: &World) -> Relay {
    let config: Config = world.config();
    let publisher = Publisher::new("test", &world.config()).unwrap();
    Relay::new(&config, world.store(), publisher)
}

pub(crate) async fn waiting(world: &World) -> i64 {
    world.database.count("SELECT count(*) FROM sales.outbox_events").await
}
