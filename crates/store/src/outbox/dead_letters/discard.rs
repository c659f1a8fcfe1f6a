//! Discards dead letters: an operator decides that their events are never published.
//!
//! The row stays, with the time and the reason, and no longer waits for an operator.

use diesel::sql_types::{BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{DiscardReason, OrderId};
use uuid::Uuid;

use super::Selection;
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    /// A discard waits for the rows of a concurrent redrive, and leaves those that it has moved.
    struct DiscardBatch {
        id: Option<i64>, topic: Option<String>, order: Option<Uuid>, max_redrives: i32, newest: i64, limit: i64,
        reason: str,
    } -> ();
    "WITH chosen AS (
        SELECT id FROM sales.outbox_dead_letters
        WHERE redriven_at IS NULL AND discarded_at IS NULL
          AND redrive_count < " {Integer = max_redrives} " AND id <= " {BigInt = newest} "
          AND id = COALESCE(" {Nullable<BigInt> = id} ", id)
          AND topic = COALESCE(" {Nullable<Text> = topic} ", topic)
          AND aggregate_id = COALESCE(" {Nullable<SqlUuid> = order} ", aggregate_id)
        ORDER BY id LIMIT " {BigInt = limit} " FOR UPDATE
     )
     UPDATE sales.outbox_dead_letters d
     SET discarded_at = now(), discard_reason = " {Text = reason} "
     FROM chosen WHERE d.id = chosen.id"
}

/// Discards the oldest `limit` dead letters with an id up to `newest`. Returns their number; 0 if
/// there are no more.
pub async fn discard(
    connection: &mut Connection,
    selection: &Selection,
    reason: &DiscardReason,
    newest: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let Selection { filter, max_redrives } = selection;
    let order = filter.order.map(OrderId::as_uuid);
    let statement = DiscardBatch {
        id: &filter.id,
        topic: &filter.topic,
        order: &order,
        max_redrives,
        newest: &newest,
        limit: &limit,
        reason: reason.as_str(),
    };
    Ok(statement.execute(connection).await?)
}
