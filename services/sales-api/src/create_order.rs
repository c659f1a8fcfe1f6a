//! The use case of the whole system: take an order, once.

use contracts::cloud_events::TraceContext;
use domain::{Fingerprint, IdempotencyKey, OrderDraft, OrderStatus, Owner};
use store::orders::{NewOrder, Order, Origin};

use crate::inventory::{Inventory, StockError};
use crate::order_writer::{BatchError, OrderWriter};

/// What a client asks for, and how to recognise it when it asks again.
#[derive(Clone)]
pub(crate) struct CreateOrderRequest {
    pub(crate) owner: Owner,
    pub(crate) key: IdempotencyKey,
    pub(crate) draft: OrderDraft,
    pub(crate) correlation_id: String,
    pub(crate) trace: Option<TraceContext>,
}

/// An order that is safe.
pub(crate) enum Placed {
    /// It was accepted now.
    Now(Order),
    /// It was accepted before, under the same key.
    Before(Order),
}

/// Why an order was not accepted. Its key is still free, unless it was taken before.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateOrderError {
    #[error("the idempotency key was used for another order")]
    KeyReused,
    #[error(transparent)]
    Stock(#[from] StockError),
    #[error(transparent)]
    Write(#[from] BatchError),
    #[error("the event cannot be encoded")]
    Encode(#[from] serde_json::Error),
    #[error("a key is taken, but its order is not there")]
    NoWinner,
}

pub(crate) struct CreateOrder {
    pub(crate) inventory: Inventory,
    pub(crate) writer: OrderWriter,
    pub(crate) topic: String,
}

impl CreateOrder {
    /// Accepts an order, or finds the one that was accepted under the same key. A refusal consumes no key.
    pub(crate) async fn place(
        &self,
        request: CreateOrderRequest,
    ) -> Result<Placed, CreateOrderError> {
        let fingerprint = Fingerprint::of(&request.draft);
        if let Some(order) = self.placed_before(&request, &fingerprint).await? {
            return Ok(Placed::Before(order));
        }
        self.inventory.ensure_available(request.draft.lines()).await?;
        let order = self.new_order(&request)?;
        let answer = accepted(&order);
        if self.writer.accept(order).await? {
            return Ok(Placed::Now(answer));
        }
        // The key is taken, and whoever took it has committed.
        let winner = self.placed_before(&request, &fingerprint).await?;
        let winner = winner.ok_or(CreateOrderError::NoWinner)?;
        // This very order, if its first answer was lost on the way from the database.
        Ok(if winner.id == answer.id { Placed::Now(winner) } else { Placed::Before(winner) })
    }

    fn new_order(&self, request: &CreateOrderRequest) -> Result<NewOrder, serde_json::Error> {
        let CreateOrderRequest { owner, key, draft, correlation_id, trace } = request.clone();
        let origin = Origin { source: "/sales-api", topic: &self.topic, correlation_id, trace };
        NewOrder::new(owner, key, draft, origin)
    }

    async fn placed_before(
        &self,
        request: &CreateOrderRequest,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Order>, CreateOrderError> {
        match self.writer.find(request.owner.clone(), request.key.clone()).await? {
            Some(known) if known.fingerprint == fingerprint.as_bytes() => Ok(Some(known.order)),
            Some(_) => Err(CreateOrderError::KeyReused),
            None => Ok(None),
        }
    }
}

/// The order as it will be read back.
fn accepted(order: &NewOrder) -> Order {
    Order {
        id: order.id,
        customer_id: order.draft.customer_id().to_string(),
        lines: order.draft.lines().to_vec(),
        total: order.draft.total(),
        status: OrderStatus::PendingShipment,
        created_at: order.created_at,
    }
}
