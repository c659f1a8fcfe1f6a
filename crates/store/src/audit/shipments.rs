//! Shipments, in ascending order of order id.

use diesel::Queryable;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use super::{PAGE, Scope, after};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shipment, with its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedShipment {
    /// The order.
    pub order_id: OrderId,
    /// Its shipment.
    pub shipment: Shipment,
}

/// The state of a shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// The status after the last reported step.
    pub state: OrderStatus,
    /// The state of the request to cancel the order, if there is one.
    pub cancellation: Option<CancellationState>,
    /// Whether the next step is scheduled and not due yet.
    pub step_scheduled: bool,
    /// Whether the next step is a dead letter: Kafka rejected it permanently, and it was not
    /// redriven.
    pub refused: bool,
    /// Whether it has both a time of shipping and a time of cancelling.
    pub shipped_and_cancelled: bool,
}

/// The state of a request to cancel an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancellationState {
    /// Not decided.
    Requested,
    /// Accepted: the next or last step is that to Cancelled.
    Accepted,
    /// Refused, and not reported.
    Refusing,
    /// Refused, and reported.
    Refused,
}

/// The text in the database is not a [`CancellationState`].
#[derive(Debug, thiserror::Error)]
#[error("unknown cancellation {0:?}")]
struct UnknownCancellation(String);

impl CancellationState {
    fn parse(text: String) -> Result<Self, UnknownCancellation> {
        match text.as_str() {
            "requested" => Ok(Self::Requested),
            "accepted" => Ok(Self::Accepted),
            "refusing" => Ok(Self::Refusing),
            "refused" => Ok(Self::Refused),
            _ => Err(UnknownCancellation(text)),
        }
    }
}

statement! {
    struct Page { since: Uuid, before: Uuid, limit: i64 } -> (SqlUuid, Text, Nullable<Text>, Bool, Bool, Bool);
    "SELECT order_id, state, cancellation, COALESCE(next_step_at > now(), false), refused_step_at IS NOT NULL,
            COALESCE(shipped_at, delivered_at) IS NOT NULL AND cancelled_at IS NOT NULL
     FROM delivery.shipments
     WHERE order_id >= " {SqlUuid = since} " AND order_id < " {SqlUuid = before} "
     ORDER BY order_id LIMIT " {BigInt = limit} ""
}

#[derive(Queryable)]
struct Row {
    order_id: Uuid,
    state: String,
    cancellation: Option<String>,
    step_scheduled: bool,
    refused: bool,
    shipped_and_cancelled: bool,
}

impl TryFrom<Row> for AuditedShipment {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let cancellation = row.cancellation.map(CancellationState::parse).transpose();
        let shipment = Shipment {
            state: row.state.parse().map_err(StoreError::corrupt("shipment state"))?,
            cancellation: cancellation.map_err(StoreError::corrupt("cancellation"))?,
            step_scheduled: row.step_scheduled,
            refused: row.refused,
            shipped_and_cancelled: row.shipped_and_cancelled,
        };
        Ok(Self { order_id: row.order_id.into(), shipment })
    }
}

/// Passes every shipment in `scope` to `sink`, page by page. Shipments have no owner, so
/// `scope.owner` is ignored.
pub async fn shipments(
    connection: &mut Connection,
    scope: &Scope,
    mut sink: impl FnMut(Vec<AuditedShipment>) + Send,
) -> Result<(), StoreError> {
    let (mut since, before) = (scope.since.as_uuid(), scope.before.as_uuid());
    loop {
        let page = Page { since: &since, before: &before, limit: &PAGE };
        let rows: Vec<Row> = page.load(connection).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        since = after(last.order_id);
        let shipments = rows.into_iter().map(AuditedShipment::try_from);
        sink(shipments.collect::<Result<_, StoreError>>()?);
    }
}
