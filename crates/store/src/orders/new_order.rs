//! An order with the event that says that it was accepted.

use chrono::DateTime;
use contracts::cloud_events::{TraceContext, data_schema};
use contracts::event_id::event_id;
use contracts::order_events::{ORDER_CREATED, ORDER_CREATED_VERSION, OrderCreated};
use domain::{Fingerprint, IdempotencyKey, OrderDraft, OrderId, OrderStatus, Owner};

use super::NewOrder;
use crate::outbox::{EventHeaders, OutboxEvent};

/// Where an event comes from and goes to.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// `ce_source`.
    pub source: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Ties together all that one request causes.
    pub correlation_id: String,
    /// The trace of the request.
    pub trace: Option<TraceContext>,
}

impl NewOrder {
    /// Gives an order its id, its moment and its event.
    pub fn new(
        owner: Owner,
        idempotency_key: IdempotencyKey,
        draft: OrderDraft,
        origin: Origin<'_>,
    ) -> Result<Self, serde_json::Error> {
        let id = OrderId::generate();
        // The moment is that of the id, to the millisecond: lists are sorted by the id alone.
        let created_at = DateTime::from_timestamp_millis(id.unix_millis()).unwrap_or_default();
        let created = OrderCreated {
            order_id: id,
            sequence: OrderStatus::PendingShipment.sequence(),
            customer_id: draft.customer_id().to_string(),
            items: draft.lines().iter().map(Into::into).collect(),
            total_amount: draft.total(),
            created_at,
        };
        let event = OutboxEvent {
            event_id: event_id(id, ORDER_CREATED),
            aggregate_id: id,
            topic: origin.topic.to_owned(),
            event_type: ORDER_CREATED.to_owned(),
            payload: serde_json::to_string(&created)?,
            headers: EventHeaders::new(
                origin.source,
                data_schema(ORDER_CREATED, ORDER_CREATED_VERSION),
                origin.correlation_id,
                origin.trace,
            ),
            occurred_at: created_at,
        };
        let fingerprint = Fingerprint::of(&draft);
        Ok(Self { id, owner, idempotency_key, fingerprint, draft, created_at, event })
    }
}
