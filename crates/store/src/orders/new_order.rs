//! An order with the event that says that it was accepted.

use chrono::{DateTime, Utc};
use contracts::order_events::OrderCreated;
use domain::{
    Fingerprint, IdempotencyKey, Money, OrderDraft, OrderId, OrderLine, OrderStatus, Owner,
};

use super::NewOrder;
use crate::outbox::{Origin, OutboxEvent};

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
        let customer_id = draft.customer_id().to_string();
        let created = created(id, customer_id, draft.lines(), draft.total(), created_at);
        let event = OutboxEvent::of_order(&created, origin)?;
        let fingerprint = Fingerprint::of(&draft);
        Ok(Self { id, owner, idempotency_key, fingerprint, draft, created_at, event })
    }
}

/// What is told of an order that was accepted.
pub(crate) fn created(
    order_id: OrderId,
    customer_id: String,
    lines: &[OrderLine],
    total: Money,
    created_at: DateTime<Utc>,
) -> OrderCreated {
    OrderCreated {
        order_id,
        sequence: OrderStatus::PendingShipment.sequence(),
        customer_id,
        items: lines.iter().map(Into::into).collect(),
        total_amount: total,
        created_at,
    }
}
