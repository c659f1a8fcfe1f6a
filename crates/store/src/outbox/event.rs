//! The events of an order, made of what they tell of. So the same event can be made again at any time.

use chrono::{DateTime, Utc};
use contracts::cloud_events::{TraceContext, data_schema};
use contracts::delivery_events::{DELIVERY_VERSION, DeliveryEvent, event_type};
use contracts::event_id::event_id;
use contracts::order_events::{ORDER_CREATED, ORDER_CREATED_VERSION, OrderCreated};
use domain::{DeliveryStep, OrderId};

use super::{EventHeaders, OutboxEvent};

/// Where an event comes from and goes to.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// `ce_source`.
    pub source: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Ties together all events that one request causes.
    pub correlation_id: Option<String>,
    /// The trace of the request.
    pub trace: Option<TraceContext>,
}

impl OutboxEvent {
    /// An order was accepted.
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

    /// A delivery step was made at `at`, by the clock of whoever reports it. The event has the id that
    /// delivery-service's own event of this step has: whichever comes first is applied.
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
