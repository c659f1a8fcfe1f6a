//! The event of a delivery step that is reported through the outbox, instead of by delivery-service itself.

use chrono::{DateTime, Utc};
use contracts::cloud_events::{TraceContext, data_schema};
use contracts::delivery_events::{DELIVERY_VERSION, DeliveryEvent, event_type};
use contracts::event_id::event_id;
use domain::{DeliveryStep, OrderId};

use super::{EventHeaders, OutboxEvent};

/// A delivery step to report.
#[derive(Clone, Debug)]
pub struct ReportedStep<'a> {
    /// The order.
    pub order_id: OrderId,
    /// What happened.
    pub step: DeliveryStep,
    /// When it happened, to the millisecond.
    pub at: DateTime<Utc>,
    /// `ce_source`.
    pub source: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Ties together all events that one request causes.
    pub correlation_id: String,
    /// The trace of the request.
    pub trace: Option<TraceContext>,
}

impl OutboxEvent {
    /// The event has the id that delivery-service's own event of this step has: whichever comes first is applied.
    pub fn of_step(reported: ReportedStep<'_>) -> Result<Self, serde_json::Error> {
        let ReportedStep { order_id, step, at, source, topic, correlation_id, trace } = reported;
        let event_type = event_type(step);
        Ok(Self {
            event_id: event_id(order_id, event_type),
            aggregate_id: order_id,
            topic: topic.to_owned(),
            event_type: event_type.to_owned(),
            payload: DeliveryEvent { order_id, step, at }.encode()?,
            headers: EventHeaders::new(
                source,
                data_schema(event_type, DELIVERY_VERSION),
                correlation_id,
                trace,
            ),
            occurred_at: at,
        })
    }
}
