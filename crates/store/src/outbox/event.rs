//! Builds the events of an order from its data alone, so that the same event can be rebuilt at any
//! time.

use chrono::{DateTime, Utc};
use contracts::cloud_events::{TraceContext, data_schema};
use contracts::delivery_events::{DELIVERY_VERSION, DeliveryEvent, event_type};
use contracts::event_id::event_id;
use contracts::order_events::{ORDER_CREATED, ORDER_CREATED_VERSION, OrderCreated};
use domain::{DeliveryStep, OrderId};

use super::{EventHeaders, OutboxEvent};

/// The source, destination and context of an event.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// `ce_source`.
    pub source: &'a str,
    /// The topic to publish to.
    pub topic: &'a str,
    /// `ce_correlationid`: identifies everything that one request caused.
    pub correlation_id: Option<String>,
    /// The trace of the request.
    pub trace: Option<TraceContext>,
}

impl OutboxEvent {
    /// The `order.created` event of an order.
    pub fn of_order(order: &OrderCreated, origin: Origin<'_>) -> Result<Self, serde_json::Error> {
        Ok(Self {
            event_id: event_id(order.order_id, ORDER_CREATED),
            aggregate_id: order.order_id,
            topic: origin.topic.to_owned(),
            event_type: ORDER_CREATED.to_owned(),
            payload: serde_json::to_string(order)?,
            headers: EventHeaders::new(data_schema(ORDER_CREATED, ORDER_CREATED_VERSION), origin),
            occurred_at: order.created_at,
        })
    }

    /// The event of a delivery step at `at`, by the clock of the service that reports it. It has
    /// the same id as delivery-service's own event of this step, so status-consumer applies only
    /// the first one.
    pub fn of_step(
        order_id: OrderId,
        step: DeliveryStep,
        at: DateTime<Utc>,
        origin: Origin<'_>,
    ) -> Result<Self, serde_json::Error> {
        let event_type = event_type(step);
        Ok(Self {
            event_id: event_id(order_id, event_type),
            aggregate_id: order_id,
            topic: origin.topic.to_owned(),
            event_type: event_type.to_owned(),
            payload: DeliveryEvent { order_id, step, at }.encode()?,
            headers: EventHeaders::new(data_schema(event_type, DELIVERY_VERSION), origin),
            occurred_at: at,
        })
    }
}
