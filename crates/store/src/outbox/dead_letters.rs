//! Events that Kafka refused for good.

use diesel::sql_types::{BigInt, SmallInt, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{HeldShard, OutboxEvent, PublishedRow, enqueue};
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    /// One statement, so that the event is always in exactly one of the two tables.
    struct DeadLetter { shard: i16, seq: i64, token: i64, reason: str } -> ();
    "WITH refused AS (
        DELETE FROM sales.outbox_events e
        USING sales.outbox_shards s
        WHERE e.shard = " {SmallInt = shard} " AND e.seq = " {BigInt = seq} "
          AND s.shard = e.shard AND s.token = " {BigInt = token} "
        RETURNING e.*
     )
     INSERT INTO sales.outbox_dead_letters
         (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, created_at, attempts, reason)
     SELECT shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, created_at,
            (attempts + 1)::smallint, " {Text = reason} "
     FROM refused"
}

/// Moves a row to the dead letters, whole, with the reason, and puts `announcement` in the outbox, in one
/// transaction. Returns whether the lease still held; if it did not, nothing was done.
pub async fn dead_letter(
    connection: &mut Connection,
    row: PublishedRow,
    reason: &str,
    announcement: Option<&OutboxEvent>,
) -> Result<bool, StoreError> {
    let HeldShard { shard, token } = row.held;
    connection
        .transaction(async |connection| {
            let statement = DeadLetter { shard: &shard, seq: &row.seq, token: &token, reason };
            let moved = statement.execute(connection).await? == 1;
            if let (true, Some(event)) = (moved, announcement) {
                enqueue(connection, std::slice::from_ref(event)).await?;
            }
            Ok(moved)
        })
        .await
}
