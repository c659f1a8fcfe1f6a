//! Shipments. The row of a shipment is both the timer and the outbox of its next event.

mod cancel;
mod due;
mod list;
mod next_event;
mod refused;
mod status;

use std::time::Duration;

use contracts::cloud_events::TraceContext;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use domain::OrderId;
use service_kit::convert::millis;
use uuid::Uuid;

use self::cancel::request_cancellations;
pub use self::cancel::{CancellationRequest, Decision, decide_cancellations};
pub use self::due::{DueShipment, EventDone, claim, defer, mark_done, until_next};
pub use self::list::{Shipment, WaitingShipment, find, next};
pub use self::next_event::NextEvent;
pub use self::refused::{RefusedStep, count_refused, redrive, refuse, refused};
pub use self::status::status;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shipment to insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewShipment {
    /// The order's id.
    pub order_id: OrderId,
    /// Time until the order is shipped.
    pub delay: Duration,
    /// The correlation id of the request that created the order.
    pub correlation_id: Option<String>,
    /// The trace of that request.
    pub trace: Option<TraceContext>,
}

statement! {
    /// The time is read under the lock on the table, because the scans of the shards rely on it.
    struct Insert {
        orders: Vec<Uuid>, delays: Vec<i64>, correlations: Vec<Option<String>>,
        parents: Vec<Option<String>>, states: Vec<Option<String>>,
    } -> ();
    "INSERT INTO delivery.shipments (order_id, next_step_at, correlation_id, traceparent, tracestate)
     SELECT n.order_id, clock_timestamp() + n.delay_ms * interval '1 millisecond', n.correlation_id, n.traceparent, n.tracestate
     FROM UNNEST(" {Array<SqlUuid> = orders} ", " {Array<BigInt> = delays} ", "
         {Array<Nullable<Text>> = correlations} ", " {Array<Nullable<Text>> = parents} ", "
         {Array<Nullable<Text>> = states} ")
         AS n (order_id, delay_ms, correlation_id, traceparent, tracestate)
     ON CONFLICT DO NOTHING"
}

/// Inserts shipments, which starts their timers. Skips orders that already have a shipment. Returns
/// the number of inserted shipments.
pub async fn insert(connection: &mut Connection, new: &[NewShipment]) -> Result<usize, StoreError> {
    let traces = || new.iter().map(|shipment| shipment.trace.as_ref());
    let statement = Insert {
        orders: &new.iter().map(|shipment| shipment.order_id.as_uuid()).collect(),
        delays: &new.iter().map(|shipment| millis(shipment.delay)).collect(),
        correlations: &new.iter().map(|shipment| shipment.correlation_id.clone()).collect(),
        parents: &traces().map(|trace| trace.map(|trace| trace.traceparent.clone())).collect(),
        states: &traces().map(|trace| trace.and_then(|trace| trace.tracestate.clone())).collect(),
    };
    Ok(statement.execute(connection).await?)
}

/// Number of rows that [`take_in`] stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenIn {
    /// New shipments.
    pub shipments: usize,
    /// New requests to cancel an order.
    pub requests: usize,
}

/// Stores new shipments and then requests to cancel orders, in one transaction.
pub async fn take_in(
    connection: &mut Connection,
    new: &[NewShipment],
    requests: &[CancellationRequest],
) -> Result<TakenIn, StoreError> {
    if requests.is_empty() {
        return Ok(TakenIn { shipments: insert(connection, new).await?, requests: 0 });
    }
    connection
        .transaction(async |connection| {
            let shipments = insert(connection, new).await?;
            Ok(TakenIn { shipments, requests: request_cancellations(connection, requests).await? })
        })
        .await
}
