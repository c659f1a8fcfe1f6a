//! Orders with their history and their cancellations, in ascending order of id.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::Queryable;
use diesel::sql_types::{Array, BigInt, Bool, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use super::{PAGE, Scope, after};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// An order with its stored history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditedOrder {
    /// The order's id.
    pub id: OrderId,
    /// The current status.
    pub status: OrderStatus,
    /// A hash of owner and idempotency key. Equal hashes reveal duplicate keys even if the unique
    /// index missed them, for example after a change of the collation.
    pub key_hash: i64,
    /// The history, in ascending order of sequence.
    pub history: Vec<HistoryRow>,
    /// The request to cancel it, if there is one.
    pub request: Option<StoredRequest>,
}

/// A request to cancel an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRequest {
    /// The time of the request, by the clock of sales-api.
    pub requested_at: DateTime<Utc>,
    /// Whether it was refused.
    pub refused: bool,
}

/// One row of an order's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The position in the order's history: 1, 2, 3.
    pub sequence: i16,
    /// The status that was reached.
    pub status: OrderStatus,
    /// The event that reported the status.
    pub event_id: Uuid,
    /// The time of the change, by the clock of the service that reported it.
    pub occurred_at: DateTime<Utc>,
    /// The time at which the row was stored, by the database's clock.
    pub recorded_at: DateTime<Utc>,
}

type OrderRow = (Uuid, String, i64);

statement! {
    struct AllPage { since: Uuid, before: Uuid, limit: i64 } -> (SqlUuid, Text, BigInt);
    "SELECT id, status, hash_record_extended(ROW(owner, idempotency_key), 0) FROM sales.orders
     WHERE id >= " {SqlUuid = since} " AND id < " {SqlUuid = before} "
     ORDER BY id LIMIT " {BigInt = limit} ""
}

statement! {
    /// The row comparison makes the planner use the index on owner and id, so the scan reads only
    /// this owner's orders.
    struct OwnersPage { owner: str, since: Uuid, before: Uuid, limit: i64 } -> (SqlUuid, Text, BigInt);
    "SELECT id, status, hash_record_extended(ROW(owner, idempotency_key), 0) FROM sales.orders
     WHERE owner <> '' AND (owner, id) >= (" {Text = owner} ", " {SqlUuid = since} ")
       AND (owner, id) < (" {Text = owner} ", " {SqlUuid = before} ")
     ORDER BY owner, id LIMIT " {BigInt = limit} ""
}

statement! {
    struct History { ids: Vec<Uuid> } -> (SqlUuid, SmallInt, Text, SqlUuid, Timestamptz, Timestamptz);
    "SELECT order_id, sequence, status, event_id, occurred_at, recorded_at FROM sales.order_status_history
     WHERE order_id = ANY(" {Array<SqlUuid> = ids} ")
     ORDER BY order_id, sequence"
}

statement! {
    struct Requests { ids: Vec<Uuid> } -> (SqlUuid, Timestamptz, Bool);
    "SELECT order_id, requested_at, refused_at IS NOT NULL FROM sales.order_cancellations
     WHERE order_id = ANY(" {Array<SqlUuid> = ids} ")"
}

#[derive(Queryable)]
struct OrderHistoryRow {
    order_id: Uuid,
    sequence: i16,
    status: String,
    event_id: Uuid,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
}

/// Passes every order in `scope` to `sink`, page by page.
pub(super) async fn visit(
    connection: &mut Connection,
    scope: &Scope,
    mut sink: impl FnMut(Vec<AuditedOrder>) + Send,
) -> Result<(), StoreError> {
    let (mut since, before, limit) = (scope.since.as_uuid(), &scope.before.as_uuid(), &PAGE);
    loop {
        let rows: Vec<OrderRow> = match &scope.owner {
            Some(owner) => {
                let page = OwnersPage { owner: owner.as_str(), since: &since, before, limit };
                page.load(connection).await?
            }
            None => AllPage { since: &since, before, limit }.load(connection).await?,
        };
        let Some((last, ..)) = rows.last() else { return Ok(()) };
        since = after(*last);
        let ids = rows.iter().map(|(id, ..)| *id).collect();
        let mut history = history_of(connection, &ids).await?;
        let mut requests = requests_of(connection, &ids).await?;
        let orders = rows.into_iter().map(|(id, status, key_hash)| {
            let status = status.parse().map_err(StoreError::corrupt("status"))?;
            let history = history.remove(&id).unwrap_or_default();
            Ok(AuditedOrder {
                id: id.into(),
                status,
                key_hash,
                history,
                request: requests.remove(&id),
            })
        });
        sink(orders.collect::<Result<_, StoreError>>()?);
    }
}

async fn history_of(
    connection: &mut Connection,
    ids: &Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<HistoryRow>>, StoreError> {
    let rows: Vec<OrderHistoryRow> = History { ids }.load(connection).await?;
    let mut history = HashMap::<Uuid, Vec<HistoryRow>>::with_capacity(ids.len());
    for row in rows {
        history.entry(row.order_id).or_default().push(HistoryRow {
            sequence: row.sequence,
            status: row.status.parse().map_err(StoreError::corrupt("status"))?,
            event_id: row.event_id,
            occurred_at: row.occurred_at,
            recorded_at: row.recorded_at,
        });
    }
    Ok(history)
}

async fn requests_of(
    connection: &mut Connection,
    ids: &Vec<Uuid>,
) -> Result<HashMap<Uuid, StoredRequest>, StoreError> {
    let rows: Vec<(Uuid, DateTime<Utc>, bool)> = Requests { ids }.load(connection).await?;
    let request = |(order, requested_at, refused)| (order, StoredRequest { requested_at, refused });
    Ok(rows.into_iter().map(request).collect())
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::pg::Pg;
    use diesel::query_builder::QueryFragment;
    use test_kit::World;
    use uuid::Uuid;

    // No glob import: the query builder's traits have methods with the same names as the test's
    // database.
    use super::{AllPage, OwnersPage, PAGE};
    use crate::pool::IN_ORDER;

    const MANY_ORDERS: &str = "INSERT INTO sales.orders
            (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at)
        SELECT uuidv7(make_interval(secs => n - 60000)), 'owner-' || n % 3, n, sha256('x'), 'customer-1', 1, 'Delivered', now()
        FROM generate_series(1, 60000) AS n;
        ANALYZE sales.orders";

    async fn plan(world: &World, query: &impl QueryFragment<Pg>) -> String {
        let query = debug_query::<Pg, _>(query).to_string();
        world.database.generic_plan_with(&[IN_ORDER], &query).await
    }

    #[tokio::test]
    async fn a_page_is_an_index_scan_without_a_sort() {
        let world = World::create().await;
        world.database.execute(MANY_ORDERS).await;
        let (since, before, limit) = (&Uuid::nil(), &Uuid::max(), &PAGE);
        let owner = "owner-1";
        for (index, plan) in [
            ("orders_pkey", plan(&world, &AllPage { since, before, limit }).await),
            ("orders_by_owner", plan(&world, &OwnersPage { owner, since, before, limit }).await),
        ] {
            assert!(plan.contains(&format!("Index Scan using {index}")), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        }
    }
}
