//! The use case of the whole system: take an order, once.

use std::pin::pin;
use std::time::Duration;

use contracts::cloud_events::TraceContext;
use domain::{Fingerprint, IdempotencyKey, OrderDraft, OrderStatus, Owner};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use service_kit::recorder::recorder;
use service_kit::trace;
use store::orders::{NewOrder, Order};
use store::outbox::Origin;
use tokio::time::timeout;

use crate::inventory::{Inventory, StockError};
use crate::order_writer::{BatchError, OrderWriter};

/// How long the inventory may take before it is looked whether the order is a repeat, which needs no inventory.
const PROMPT: Duration = Duration::from_millis(50);

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

#[derive(Clone)]
pub(crate) struct CreateOrder {
    pub(crate) inventory: Inventory,
    pub(crate) writer: OrderWriter,
    pub(crate) topic: String,
}

impl CreateOrder {
    /// The same, for a thread that answers requests.
    pub(crate) fn of_this_thread(&self) -> Self {
        Self { inventory: self.inventory.of_this_thread(), ..self.clone() }
    }

    /// Accepts an order, or finds the one that was accepted under the same key. A refusal consumes no key.
    ///
    /// Nearly every create is the first under its key, and the insert itself tells when it is not. So a key is looked up
    /// only where a repeat would get another answer than its first one, or would have to wait for it.
    pub(crate) async fn place(
        &self,
        request: CreateOrderRequest,
    ) -> Result<Placed, CreateOrderError> {
        let mut stock =
            pin!(self.inventory.ensure_available(request.draft.lines(), request.trace.as_ref()));
        let prompt = timeout(PROMPT, &mut stock).await;
        if !matches!(prompt, Ok(Ok(())))
            && let Some(order) = self.placed_before(&request).await?
        {
            return Ok(Placed::Before(order));
        }
        match prompt {
            Ok(stock) => stock?,
            Err(_) => stock.await?,
        }
        let order = self.new_order(&request)?;
        let answer = accepted(&order);
        trace::note("order_id", &order.id);
        let written = {
            let _span = recorder().and_then(|it| it.begin(request.trace.as_ref(), insert_span));
            self.writer.accept(order).await?
        };
        if written {
            return Ok(Placed::Now(answer));
        }
        // The key is taken, and whoever took it has committed.
        let winner = self.placed_before(&request).await?.ok_or(CreateOrderError::NoWinner)?;
        // This very order, if its first answer was lost on the way from the database.
        Ok(if winner.id == answer.id { Placed::Now(winner) } else { Placed::Before(winner) })
    }

    fn new_order(&self, request: &CreateOrderRequest) -> Result<NewOrder, serde_json::Error> {
        let CreateOrderRequest { owner, key, draft, correlation_id, trace } = request.clone();
        let correlation_id = Some(correlation_id);
        let origin = Origin { source: "/sales-api", topic: &self.topic, correlation_id, trace };
        NewOrder::new(owner, key, draft, origin)
    }

    async fn placed_before(
        &self,
        request: &CreateOrderRequest,
    ) -> Result<Option<Order>, CreateOrderError> {
        let fingerprint = Fingerprint::of(&request.draft);
        match self.writer.find(request.owner.clone(), request.key.clone()).await? {
            Some(known) if known.fingerprint == fingerprint.as_bytes() => Ok(Some(known.order)),
            Some(_) => Err(CreateOrderError::KeyReused),
            None => Ok(None),
        }
    }
}

/// The wait for the batch that an order is written with, and the batch.
fn insert_span() -> SpanBuilder {
    SpanBuilder::from_name("INSERT sales.orders").with_kind(SpanKind::Client).with_attributes([
        KeyValue::new("db.system.name", "postgresql"),
        KeyValue::new("db.operation.name", "INSERT"),
        KeyValue::new("db.collection.name", "sales.orders"),
    ])
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
