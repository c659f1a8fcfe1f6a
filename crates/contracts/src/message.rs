//! An event with its destination, as the outbox stores it and a publisher sends it.

use chrono::{DateTime, Utc};
use domain::OrderId;

use crate::cloud_events::{Attributes, TraceContext, data_schema};
use crate::event_id::event_id;

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMessage {
    /// The topic to publish to.
    pub topic: String,
    /// The headers of the record. The subject is also its key.
    pub attributes: Attributes,
    /// The value of the record: JSON, published byte for byte.
    pub payload: String,
}

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

impl<'a> Origin<'a> {
    /// The origin of an event that no request caused.
    pub const fn new(source: &'a str, topic: &'a str) -> Self {
        Self { source, topic, correlation_id: None, trace: None }
    }
}

impl EventMessage {
    /// The message of an event that occurs once per order.
    pub(crate) fn new(
        order: OrderId,
        event_type: &str,
        version: &str,
        time: DateTime<Utc>,
        payload: String,
        origin: Origin<'_>,
    ) -> Self {
        let attributes = Attributes {
            id: event_id(order, event_type),
            source: origin.source.to_owned(),
            event_type: event_type.to_owned(),
            time,
            subject: order.as_uuid(),
            data_schema: data_schema(event_type, version),
            correlation_id: origin.correlation_id,
            trace: origin.trace,
        };
        Self { topic: origin.topic.to_owned(), attributes, payload }
    }

    /// The order that the event is about. Its id is the key of the record.
    pub fn order_id(&self) -> OrderId {
        self.attributes.subject.into()
    }
}
