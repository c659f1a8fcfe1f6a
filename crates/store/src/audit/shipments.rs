//! Shipments, by ascending id of their orders.

use diesel::sql_types::{BigInt, Bool, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use super::{PAGE, Scope, after};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// How far a shipment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditedShipment {
    /// The order.
    pub order_id: OrderId,
    /// The last step that it has reported.
    pub state: OrderStatus,
    /// Whether its next step lies ahead: it waits for nobody.
    pub on_its_way: bool,
    /// Whether Kafka has refused its next step for good: it is a dead letter that nobody has put back.
    pub refused: bool,
}

statement! {
    struct Page { since: Uuid, before: Uuid, limit: i64 } -> (SqlUuid, Text, Bool, Bool);
    "SELECT order_id, state, COALESCE(next_step_at > now(), false), refused_step_at IS NOT NULL FROM delivery.shipments
     WHERE order_id >= " {SqlUuid = since} " AND order_id < " {SqlUuid = before} "
     ORDER BY order_id LIMIT " {BigInt = limit} ""
}

/// Hands on every shipment in `scope`, a page at a time; those of every owner, whom delivery does not know.
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
        let shipments = rows.into_iter().map(|(order, state, on_its_way, refused)| {
            let state = state.parse().map_err(StoreError::corrupt("shipment state"))?;
            Ok(AuditedShipment { order_id: order.into(), state, on_its_way, refused })
        });
        sink(shipments.collect::<Result<_, StoreError>>()?);
    }
}
