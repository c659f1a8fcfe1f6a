//! Orders, their lines and their history.

mod by_key;
mod cancel;
mod insert_batch;
mod list;
mod read;
mod seed;
mod status;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use contracts::message::{EventMessage, Origin};
use contracts::order_events::OrderCreated;
use domain::{
    Currency, Fingerprint, IdempotencyKey, Money, OrderDraft, OrderId, OrderLine, OrderStatus,
    Owner,
};

pub use by_key::{KnownOrder, find_by_keys};
pub use cancel::{NewCancellation, ReportedRefusal, request_cancellation};
pub use insert_batch::insert_batch;
pub use list::{ListedOrder, Listing, Page, Sort, list};
pub use read::{find, find_many};
pub use seed::{SampleOrder, insert_samples, seed_delivered};
pub use status::{Applied, ApplyError, Report, ReportedStep, apply};

/// An order to insert, with its `order.created` event.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// The order's id.
    pub id: OrderId,
    /// The subject of the token that the order is created with.
    pub owner: Owner,
    /// The client's key for this create.
    pub idempotency_key: IdempotencyKey,
    /// The fingerprint of the request, for comparison with a replay.
    pub fingerprint: Fingerprint,
    /// The requested order.
    pub draft: OrderDraft,
    /// The currency that the client named, otherwise the default.
    pub currency: Currency,
    /// The time of acceptance, with millisecond precision.
    pub created_at: DateTime<Utc>,
    /// The event to publish.
    pub event: EventMessage,
}

impl NewOrder {
    /// Generates the order's id, and builds the event. The time of acceptance is that of the id.
    pub fn new(
        owner: Owner,
        idempotency_key: IdempotencyKey,
        draft: OrderDraft,
        default_currency: Currency,
        origin: Origin<'_>,
    ) -> Self {
        let id = OrderId::generate();
        // `created_at` is the id's time in milliseconds, because lists are sorted by id alone.
        let created_at = DateTime::from_timestamp_millis(id.unix_millis()).unwrap_or_default();
        let customer_id = draft.customer_id().to_string();
        let created = OrderCreated::new(id, customer_id, draft.lines(), draft.total(), created_at);
        let currency = draft.currency().unwrap_or(default_currency);
        let reference = draft.external_reference().map(ToString::to_string);
        let created = created.with_options(reference, currency, draft.metadata().into());
        let event = created.message(origin);
        let fingerprint = Fingerprint::of(&draft);
        Self { id, owner, idempotency_key, fingerprint, draft, currency, created_at, event }
    }
}

/// An order with its current status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The order's id.
    pub id: OrderId,
    /// The owner.
    pub owner: String,
    /// The id of the customer.
    pub customer_id: String,
    /// The shop's own number of the order.
    pub external_reference: Option<String>,
    /// The ordered items, in the order of the request.
    pub lines: Vec<OrderLine>,
    /// The sum of all lines.
    pub total: Money,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The client's own data.
    pub metadata: BTreeMap<String, String>,
    /// The current status.
    pub status: OrderStatus,
    /// The time at which the API accepted the order.
    pub created_at: DateTime<Utc>,
}

/// A status that an order reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// The status.
    pub status: OrderStatus,
    /// The time of the change, by the clock of the service that reported it.
    pub at: DateTime<Utc>,
}

/// An order with its history, and the request to cancel it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderWithHistory {
    /// The order.
    pub order: Order,
    /// Every status that it reached, oldest first.
    pub history: Vec<StatusChange>,
    /// The request to cancel it, if there was one.
    pub cancellation: Option<Cancellation>,
}

impl OrderWithHistory {
    /// The time of the last change, by the clock of the service that reported it.
    pub fn updated_at(&self) -> DateTime<Utc> {
        self.history.last().map_or(self.order.created_at, |change| change.at)
    }
}

/// A request to cancel an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The subject of the request's token.
    pub requested_by: String,
    /// The client's reason.
    pub reason: Option<String>,
    /// The time of the request.
    pub requested_at: DateTime<Utc>,
    /// Why and when it was refused.
    pub refusal: Option<(String, DateTime<Utc>)>,
}
