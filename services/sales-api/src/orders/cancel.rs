//! Requests to cancel an order: stores the request with its event. delivery-service decides, and
//! status-consumer applies the decision.

use auth::Caller;
use chrono::{SubsecRound, Utc};
use contracts::order_events::CancellationRequested;
use domain::{CancellationReason, OrderId, OrderStatus};
use serde_json::json;
use store::orders::{self, NewCancellation, OrderWithHistory};
use store::{Connection, Database};

use crate::orders::Cause;
use crate::orders::audit::recorded;
use crate::orders::error::OrderError;
use crate::orders::outbox_notifier::OutboxNotifier;

/// Writes the requests to the database.
pub(crate) struct CancelOrder {
    pub(crate) database: Database,
    /// The topic of sales-api's events.
    pub(crate) topic: String,
    pub(crate) notifier: OutboxNotifier,
}

impl CancelOrder {
    /// Requests to cancel an order, unless that was requested before. Returns the order, which is
    /// pending or cancelled.
    pub(crate) async fn cancel(
        &self,
        caller: &Caller,
        order_id: OrderId,
        reason: Option<CancellationReason>,
        cause: Cause,
    ) -> Result<OrderWithHistory, OrderError> {
        let requested_at = Utc::now().trunc_subsecs(3);
        let text = reason.as_ref().map(CancellationReason::to_string);
        let event = CancellationRequested { order_id, reason: text.clone(), requested_at };
        let cancellation = NewCancellation {
            order_id,
            requested_by: caller.owner.clone(),
            reason,
            requested_at,
            event: event.message(cause.origin(&self.topic)),
        };
        let parameters = json!({ "orderId": order_id.as_uuid(), "reason": text });
        let store =
            async |connection: &mut Connection| self.store(connection, caller, &cancellation).await;
        recorded(&self.database, caller, "cancel order", &parameters, store, |found| {
            match found.order.status {
                OrderStatus::Cancelled => "was cancelled already",
                _ => "requested",
            }
        })
        .await
    }

    async fn store(
        &self,
        connection: &mut Connection,
        caller: &Caller,
        cancellation: &NewCancellation,
    ) -> Result<OrderWithHistory, OrderError> {
        let (order_id, owner) = (cancellation.order_id, caller.owner_filter());
        let is_new = orders::request_cancellation(connection, cancellation, owner).await?;
        if is_new {
            self.notifier.notify([order_id]);
        }
        let found = orders::find(connection, order_id, owner).await?;
        let found = found.ok_or(OrderError::NoOrder)?;
        let result = match found.order.status {
            _ if is_new => "stored",
            OrderStatus::Shipped | OrderStatus::Delivered => "refused",
            _ => "repeated",
        };
        metrics::counter!("cancellation_requests_total", "result" => result).increment(1);
        match found.order.status {
            OrderStatus::PendingShipment | OrderStatus::Cancelled => Ok(found),
            status => Err(OrderError::AlreadyShipped(status)),
        }
    }
}
