//! Reads all orders, history rows, requests to cancel orders, outbox events and shipments for the
//! consistency checks of `salesctl verify`.
//!
//! The checks compare rows across tables: every order needs its history, and every status needs its
//! event. Orders, history, requests and outbox are therefore read from one snapshot. They are read
//! and passed on page by page, so memory use does not depend on the size of the tables.

mod orders;
mod shipments;
mod waiting;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Bool, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus, Owner};
use uuid::Uuid;

pub use orders::{AuditedOrder, HistoryRow, StoredRequest};
pub use shipments::{AuditedShipment, CancellationState, Shipment, shipments};
pub use waiting::{WaitingEvent, waiting};

use crate::statement::statement;
use crate::{Connection, StoreError};

/// Number of rows per page.
const PAGE: i64 = 5_000;

/// Selects the orders to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The lowest id, inclusive.
    pub since: OrderId,
    /// The highest id, exclusive.
    pub before: OrderId,
    /// Only orders of this owner.
    pub owner: Option<Owner>,
}

/// A part of a [`snapshot`].
#[derive(Clone, Debug)]
pub enum SnapshotPart {
    /// The first part.
    Begin {
        /// The time of the snapshot, by the database's clock.
        at: DateTime<Utc>,
        /// Number of orders that follow.
        orders: u64,
    },
    /// Orders, in ascending order of id.
    Orders(Vec<AuditedOrder>),
    /// Unpublished and dead-lettered events, of all orders, including those outside the scope.
    Waiting(Vec<WaitingEvent>),
}

statement! {
    struct Begin { since: Uuid, before: Uuid, owner: Option<String> } -> (Timestamptz, BigInt);
    "SELECT now(), count(*) FROM sales.orders
     WHERE id >= " {SqlUuid = since} " AND id < " {SqlUuid = before} "
       AND owner = COALESCE(" {diesel::sql_types::Nullable<Text> = owner} ", owner)"
}

/// Passes the orders in `scope` and all waiting events to `sink`, read from one snapshot.
pub async fn snapshot(
    connection: &mut Connection,
    scope: &Scope,
    mut sink: impl FnMut(SnapshotPart) + Send,
) -> Result<(), StoreError> {
    connection
        .build_transaction()
        .read_only()
        .repeatable_read()
        .run(async |connection| {
            let owner = scope.owner.as_ref().map(Owner::to_string);
            let (since, before) = (scope.since.as_uuid(), scope.before.as_uuid());
            let begin = Begin { since: &since, before: &before, owner: &owner };
            let (at, orders): (DateTime<Utc>, i64) = begin.get_result(connection).await?;
            sink(SnapshotPart::Begin { at, orders: u64::try_from(orders).unwrap_or_default() });
            orders::visit(connection, scope, |orders| sink(SnapshotPart::Orders(orders))).await?;
            waiting(connection, |events| sink(SnapshotPart::Waiting(events))).await
        })
        .await
}

/// The current status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurrentStatus {
    /// The status.
    pub status: OrderStatus,
    /// Whether a request to cancel the order was refused.
    pub refused: bool,
}

statement! {
    struct Statuses { ids: Vec<Uuid> } -> (SqlUuid, Text, Bool);
    "SELECT o.id, o.status, c.refused_at IS NOT NULL
     FROM sales.orders o LEFT JOIN sales.order_cancellations c ON c.order_id = o.id
     WHERE o.id = ANY(" {Array<SqlUuid> = ids} ")"
}

/// The current status of these orders. An order that does not exist is absent from the result.
pub async fn statuses(
    connection: &mut Connection,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, CurrentStatus>, StoreError> {
    let mut found = HashMap::new();
    for ids in pages(orders) {
        let rows: Vec<(Uuid, String, bool)> = Statuses { ids: &ids }.load(connection).await?;
        for (id, status, refused) in rows {
            let status = status.parse().map_err(StoreError::corrupt("status"))?;
            found.insert(id.into(), CurrentStatus { status, refused });
        }
    }
    Ok(found)
}

statement! {
    struct DuplicateKeys { ids: Vec<Uuid> } -> SqlUuid;
    "SELECT id FROM (
        SELECT id, count(*) OVER (PARTITION BY owner, idempotency_key) AS times
        FROM sales.orders WHERE id = ANY(" {Array<SqlUuid> = ids} ")
     ) AS counted
     WHERE times > 1"
}

/// The orders among these that have the same owner and idempotency key as another of them.
pub async fn duplicate_keys(
    connection: &mut Connection,
    orders: &[OrderId],
) -> Result<HashSet<OrderId>, StoreError> {
    let ids = orders.iter().map(|order| order.as_uuid()).collect();
    let rows: Vec<Uuid> = DuplicateKeys { ids: &ids }.load(connection).await?;
    Ok(rows.into_iter().map(OrderId::from).collect())
}

fn pages(orders: &[OrderId]) -> impl Iterator<Item = Vec<Uuid>> {
    let page = usize::try_from(PAGE).unwrap_or(1);
    orders.chunks(page).map(|orders| orders.iter().map(|order| order.as_uuid()).collect())
}

/// The first id of the next page.
fn after(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_add(1))
}
