//! The use case behind create: accepts an order exactly once.

use std::pin::pin;
use std::time::Duration;

use contracts::cloud_events::TraceContext;
use contracts::message::Origin;
use domain::{Fingerprint, IdempotencyKey, OrderDraft, OrderStatus, Owner};
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind};
use service_kit::telemetry::recorder::recorder;
use service_kit::telemetry::trace;
use store::orders::{NewOrder, Order};
use tokio::time::timeout;

use crate::inventory::{Inventory, StockError};
use crate::orders::writer::{BatchError, OrderWriter};

/// How long to wait for the inventory before checking whether the request is a replay, which does
/// not need the inventory.
const REPLAY_CHECK_DELAY: Duration = Duration::from_millis(50);

/// An order to create, with the idempotency key that identifies its replays.
#[derive(Clone)]
pub(crate) struct CreateOrderRequest {
    pub(crate) owner: Owner,
    pub(crate) key: IdempotencyKey,
    pub(crate) draft: OrderDraft,
    pub(crate) correlation_id: String,
    pub(crate) trace: Option<TraceContext>,
}

/// A stored order.
pub(crate) enum Placed {
    /// This request created it.
    Created(Order),
    /// An earlier request with the same key created it.
    Replayed(Order),
}

/// Why an order was not accepted. Such a request does not use up its key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreateOrderError {
    #[error("the idempotency key was used for another order")]
    KeyReused,
    #[error(transparent)]
    Stock(#[from] StockError),
    #[error(transparent)]
    Write(#[from] BatchError),
    #[error("idempotency conflict without a matching order")]
    MissingOrder,
}

#[derive(Clone)]
pub(crate) struct CreateOrder {
    pub(crate) inventory: Inventory,
    pub(crate) writer: OrderWriter,
    pub(crate) topic: String,
}

impl CreateOrder {
    /// A copy for one HTTP worker thread.
    pub(crate) fn of_this_thread(&self) -> Self {
        Self { inventory: self.inventory.of_this_thread(), ..self.clone() }
    }

    /// Accepts an order, or returns the order that was accepted with the same key. A refusal does
    /// not use up the key.
    ///
    /// Nearly every create is the first with its key, and the insert itself detects a replay. So
    /// the key is looked up first only if a replay would otherwise get a different response or wait
    /// for the inventory.
    pub(crate) async fn place(
        &self,
        request: CreateOrderRequest,
    ) -> Result<Placed, CreateOrderError> {
        let mut stock =
            pin!(self.inventory.ensure_available(request.draft.lines(), request.trace.as_ref()));
        let early = timeout(REPLAY_CHECK_DELAY, &mut stock).await;
        if !matches!(early, Ok(Ok(())))
            && let Some(order) = self.find_replayed(&request).await?
        {
            return Ok(Placed::Replayed(order));
        }
        match early {
            Ok(stock) => stock?,
            Err(_) => stock.await?,
        }
        let order = self.new_order(&request);
        let accepted_order = accepted(&order);
        trace::note("order_id", &order.id);
        let written = {
            let _span = recorder().and_then(|it| it.begin(request.trace.as_ref(), insert_span));
            self.writer.accept(order).await?
        };
        if written {
            return Ok(Placed::Created(accepted_order));
        }
        // The key is in use, and the transaction that inserted it has committed.
        let existing = self.find_replayed(&request).await?.ok_or(CreateOrderError::MissingOrder)?;
        // The ids are equal if an earlier attempt inserted this order, but its result was lost.
        Ok(if existing.id == accepted_order.id {
            Placed::Created(existing)
        } else {
            Placed::Replayed(existing)
        })
    }

    fn new_order(&self, request: &CreateOrderRequest) -> NewOrder {
        let CreateOrderRequest { owner, key, draft, correlation_id, trace } = request.clone();
        let correlation_id = Some(correlation_id);
        let origin = Origin { source: "/sales-api", topic: &self.topic, correlation_id, trace };
        NewOrder::new(owner, key, draft, origin)
    }

    async fn find_replayed(
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

/// Covers the wait for the batch that inserts the order, and the batch.
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
