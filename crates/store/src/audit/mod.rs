//! Reading everything there is, to see whether it holds together.
//!
//! What an operator wants to know of a running system can't be told from one row: whether every order has its history,
//! and every event a place. So orders, history and outbox are read as they were at one moment, page by page, and handed
//! on as they come: nothing here grows with the tables.

mod orders;
mod shipments;
mod waiting;

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus, Owner};
use uuid::Uuid;

pub use orders::{AuditedOrder, HistoryRow};
pub use shipments::{AuditedShipment, shipments};
pub use waiting::{WaitingEvent, waiting};

use crate::statement::statement;
use crate::{Connection, StoreError};

/// Rows of one page.
const PAGE: i64 = 5_000;

/// Which orders are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Only this id and those that sort above it.
    pub since: OrderId,
    /// Only those that sort below this id.
    pub before: OrderId,
    /// Only those of this owner.
    pub owner: Option<Owner>,
}

/// A piece of a [`snapshot`].
#[derive(Clone, Debug)]
pub enum Piece {
    /// First of all.
    Begin {
        /// The moment that everything is of, by the database's clock.
        at: DateTime<Utc>,
        /// How many orders will come.
        orders: u64,
    },
    /// Orders, by ascending id.
    Orders(Vec<AuditedOrder>),
    /// Events that are in no topic yet, or never will be, of whatever order.
    Waiting(Vec<WaitingEvent>),
}

statement! {
    struct Begin { since: Uuid, before: Uuid, owner: Option<String> } -> (Timestamptz, BigInt);
    "SELECT now(), count(*) FROM sales.orders
     WHERE id >= " {SqlUuid = since} " AND id < " {SqlUuid = before} "
       AND owner = COALESCE(" {diesel::sql_types::Nullable<Text> = owner} ", owner)"
}

/// Hands everything about the orders in `scope` to `sink`, all of it as it was at one moment.
pub async fn snapshot(
    connection: &mut Connection,
    scope: &Scope,
    mut sink: impl FnMut(Piece) + Send,
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
            sink(Piece::Begin { at, orders: u64::try_from(orders).unwrap_or_default() });
            orders::visit(connection, scope, |orders| sink(Piece::Orders(orders))).await?;
            waiting(connection, |events| sink(Piece::Waiting(events))).await
        })
        .await
}

statement! {
    struct Statuses { ids: Vec<Uuid> } -> (SqlUuid, Text);
    "SELECT id, status FROM sales.orders WHERE id = ANY(" {Array<SqlUuid> = ids} ")"
}

/// Where these orders are now. One that is missing does not exist.
pub async fn statuses(
    connection: &mut Connection,
    orders: &[OrderId],
) -> Result<HashMap<OrderId, OrderStatus>, StoreError> {
    let mut found = HashMap::new();
    for ids in pages(orders) {
        let rows: Vec<(Uuid, String)> = Statuses { ids: &ids }.load(connection).await?;
        for (id, status) in rows {
            found.insert(id.into(), status.parse().map_err(StoreError::corrupt("status"))?);
        }
    }
    Ok(found)
}

statement! {
    struct Doubled { ids: Vec<Uuid> } -> SqlUuid;
    "SELECT id FROM (
        SELECT id, count(*) OVER (PARTITION BY owner, idempotency_key) AS times
        FROM sales.orders WHERE id = ANY(" {Array<SqlUuid> = ids} ")
     ) AS counted
     WHERE times > 1"
}

/// Those of these orders that share owner and idempotency key with another one of them.
pub async fn doubled(
    connection: &mut Connection,
    orders: &[OrderId],
) -> Result<HashSet<OrderId>, StoreError> {
    let ids = orders.iter().map(|order| order.as_uuid()).collect();
    let rows: Vec<Uuid> = Doubled { ids: &ids }.load(connection).await?;
    Ok(rows.into_iter().map(OrderId::from).collect())
}

fn pages(orders: &[OrderId]) -> impl Iterator<Item = Vec<Uuid>> {
    let page = usize::try_from(PAGE).unwrap_or(1);
    orders.chunks(page).map(|orders| orders.iter().map(|order| order.as_uuid()).collect())
}

/// Where the next page begins.
fn after(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().saturating_add(1))
}
