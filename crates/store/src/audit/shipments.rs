//! Shipments, in ascending order of order id.

use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use super::{PAGE, Scope, after};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// The state of a shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedShipment {
    /// The order.
    pub order_id: OrderId,
    /// The status after the last reported step.
    pub state: OrderStatus,
    /// Whether the next step is scheduled and not due yet.
    pub step_scheduled: bool,
    /// Whether the next step is a dead letter: Kafka rejected it permanently, and it was not
    /// redriven.
    pub refused: bool,
}

statement! {
    struct Page { since: Uuid, before: Uuid, limit: i64 } -> (SqlUuid, Text, Bool, Bool);
    "SELECT order_id, state, COALESCE(next_step_at > now(), false), refused_step_at IS NOT NULL FROM delivery.shipments
     WHERE order_id >= " {SqlUuid = since} " AND order_id < " {SqlUuid = before} "
     ORDER BY order_id LIMIT " {BigInt = limit} ""
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
        let rows: Vec<(Uuid, String, bool, bool)> = page.load(connection).await?;
        let Some((last, ..)) = rows.last() else { return Ok(()) };
        since = after(*last);
        let shipments = rows.into_iter().map(|(order, state, step_scheduled, refused)| {
            let state = state.parse().map_err(StoreError::corrupt("shipment state"))?;
            Ok(AuditedShipment { order_id: order.into(), state, step_scheduled, refused })
        });
        sink(shipments.collect::<Result<_, StoreError>>()?);
    }
}
