//! Creates an order exactly once.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use contracts::cloud_events::TraceContext;
use domain::{Fingerprint, IdempotencyKey, OrderDraft, Owner};
use store::orders::{NewOrder, Order};
use tokio::time::timeout;

use crate::inventory::StockChecks;
use crate::orders::Cause;
use crate::orders::currencies::Currencies;
use crate::orders::error::OrderError;
use crate::orders::writer::OrderWriter;

/// How long to wait for the inventory before checking whether the request is a replay, which does
/// not need the inventory.
const REPLAY_CHECK_DELAY: Duration = Duration::from_millis(50);

/// A stored order.
pub(crate) enum Placed {
    /// This request created it. The order writer may still hold it.
    Created(Arc<NewOrder>),
    /// An earlier request with the same key created it.
    Replayed(Order),
}

pub(crate) struct CreateOrder {
    pub(crate) stock: StockChecks,
    pub(crate) writer: OrderWriter,
    pub(crate) topic: String,
    pub(crate) currencies: Currencies,
}

impl CreateOrder {
    /// Accepts an order, or returns the order that was accepted with the same key.
    pub(crate) async fn place(
        &self,
        owner: Owner,
        key: IdempotencyKey,
        draft: OrderDraft,
        cause: Cause,
    ) -> Result<Placed, OrderError> {
        if let Err(unknown) = self.currencies.check(draft.currency()) {
            // The setting may have had the currency when the order was stored.
            let replayed = self.find_replayed(&owner, &key, Fingerprint::of(&draft)).await?;
            return replayed.map(Placed::Replayed).ok_or_else(|| unknown.into());
        }
        let trace = cause.trace.clone();
        if let Some(order) = self.check_stock(&owner, &key, &draft, trace.as_ref()).await? {
            return Ok(Placed::Replayed(order));
        }
        let (default, origin) = (self.currencies.default(), cause.origin(&self.topic));
        let order = Arc::new(NewOrder::new(owner, key, draft, default, origin));
        if self.writer.insert(order.clone(), trace.as_ref()).await? {
            return Ok(Placed::Created(order));
        }
        // The key is in use, and the transaction that inserted it has committed.
        let NewOrder { owner, idempotency_key, fingerprint, .. } = &*order;
        let existing = self.find_replayed(owner, idempotency_key, *fingerprint).await?;
        let existing = existing.ok_or(OrderError::MissingOrder)?;
        // The ids are equal if an earlier attempt inserted this order, but its result was lost.
        Ok(if existing.id == order.id {
            Placed::Created(order)
        } else {
            Placed::Replayed(existing)
        })
    }

    /// Returns the order if the request is a replay. Otherwise fails unless there is enough stock.
    /// Returns nothing for a replay that only the insert detects.
    ///
    /// Nearly every create is the first with its key, and the insert itself detects a replay. So
    /// the key is looked up first only if a replay would otherwise get a different response or wait
    /// for the inventory.
    async fn check_stock(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
        draft: &OrderDraft,
        trace: Option<&TraceContext>,
    ) -> Result<Option<Order>, OrderError> {
        let mut stock = pin!(self.stock.ensure_available(draft.lines(), trace));
        let early = timeout(REPLAY_CHECK_DELAY, &mut stock).await;
        if let Ok(Ok(())) = early {
            return Ok(None);
        }
        if let Some(order) = self.find_replayed(owner, key, Fingerprint::of(draft)).await? {
            return Ok(Some(order));
        }
        match early {
            Ok(stock) => stock?,
            Err(_) => stock.await?,
        }
        Ok(None)
    }

    async fn find_replayed(
        &self,
        owner: &Owner,
        key: &IdempotencyKey,
        fingerprint: Fingerprint,
    ) -> Result<Option<Order>, OrderError> {
        match self.writer.find(owner.clone(), key.clone()).await? {
            Some(known) if known.fingerprint == fingerprint.as_bytes() => Ok(Some(known.order)),
            Some(_) => Err(OrderError::KeyReused),
            None => Ok(None),
        }
    }
}
