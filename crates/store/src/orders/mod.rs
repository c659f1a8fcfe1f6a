//! Orders, their lines and their history.

mod by_key;
mod insert_batch;
mod list;
mod new_order;
mod read;
mod seed;
mod status;

use chrono::{DateTime, Utc};
use domain::{
    Fingerprint, IdempotencyKey, Money, OrderDraft, OrderId, OrderLine, OrderStatus, Owner,
};

pub use by_key::{KnownOrder, find_by_keys};
pub use insert_batch::insert_batch;
pub use list::{ListedOrder, Listing, Page, list};
pub(crate) use new_order::created;
pub use read::{find, find_many, find_status};
pub use seed::{SampleOrder, insert_samples, seed_delivered};
pub use status::{Application, Applied, ApplyError, apply};

use crate::outbox::OutboxEvent;

/// An order that is about to be accepted, with the event that says so.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Its id.
    pub id: OrderId,
    /// Who places it.
    pub owner: Owner,
    /// The name that its owner gave to this create.
    pub idempotency_key: IdempotencyKey,
    /// What was asked for, for comparison with a repeat.
    pub fingerprint: Fingerprint,
    /// What was asked for.
    pub draft: OrderDraft,
    /// When it is accepted, to the millisecond.
    pub created_at: DateTime<Utc>,
    /// What is told to the world.
    pub event: OutboxEvent,
}

/// An order as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The id of the customer.
    pub customer_id: String,
    /// What was ordered, in the order of the request.
    pub lines: Vec<OrderLine>,
    /// The sum of all lines.
    pub total: Money,
    /// The current status.
    pub status: OrderStatus,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
}

/// A status that an order reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// The status.
    pub status: OrderStatus,
    /// When, by the service that reported it.
    pub at: DateTime<Utc>,
}
