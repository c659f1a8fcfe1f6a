//! A new order with its `order.created` event.

use chrono::{DateTime, Utc};
use contracts::order_events::OrderCreated;
use domain::{
    Fingerprint, IdempotencyKey, Money, OrderDraft, OrderId, OrderLine, OrderStatus, Owner,
};

use super::NewOrder;
use crate::outbox::{Origin, OutboxEvent};

impl NewOrder {
    /// Generates the order's id, and builds the event. The time of acceptance is that of the id.
    pub fn new(
        owner: Owner,
        idempotency_key: IdempotencyKey,
        draft: OrderDraft,
        origin: Origin<'_>,
    ) -> Result<Self, serde_json::Error> {
        let id = OrderId::generate();
        // `created_at` is the id's time in milliseconds, because lists are sorted by id alone.
        let created_at = DateTime::from_timestamp_millis(id.unix_millis()).unwrap_or_default();
        let customer_id = draft.customer_id().to_string();
        let created = created(id, customer_id, draft.lines(), draft.total(), created_at);
        let event = OutboxEvent::of_order(&created, origin)?;
        let fingerprint = Fingerprint::of(&draft);
        Ok(Self { id, owner, idempotency_key, fingerprint, draft, created_at, event })
    }
}

/// The value of the `order.created` event.
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
