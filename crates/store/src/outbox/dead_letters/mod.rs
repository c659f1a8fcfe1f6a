//! Events that Kafka refused for good: put aside whole, looked at, put back.
//!
//! A row stays when its event is put back, as the record of what was done. An event that is refused again gets a row of
//! its own; how often it was put back is counted in the event, which carries the number from the one to the other.

mod list;
mod redrive;

use diesel::sql_types::{BigInt, SmallInt, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{ClaimedRow, HeldShard, OutboxEvent, enqueue};
use crate::statement::statement;
use crate::{Connection, StoreError};

pub use list::{DeadLetter, DeadLetterFilter, WholeDeadLetter, find, list};
pub use redrive::{Redrive, RedriveGroup, RedrivePlan, plan, redrive};

statement! {
    /// One statement, so that the event is always in exactly one of the two tables. The shard is locked, so that no other
    /// relay takes it over meanwhile, and publishes what is put aside here.
    struct PutAside { shard: i16, seq: i64, token: i64, reason: str } -> ();
    "WITH held AS MATERIALIZED (
        SELECT shard FROM sales.outbox_shards
        WHERE shard = " {SmallInt = shard} " AND token = " {BigInt = token} " FOR SHARE
     ),
     refused AS (
        DELETE FROM sales.outbox_events e USING held
        WHERE e.shard = held.shard AND e.seq = " {BigInt = seq} "
        RETURNING e.*
     )
     INSERT INTO sales.outbox_dead_letters
         (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, created_at, attempts, reason,
          redrive_count)
     SELECT shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, created_at,
            (attempts + 1)::smallint, " {Text = reason} ", redrive_count
     FROM refused"
}

/// Moves a row to the dead letters, whole, with the reason, and puts `announcement` in the outbox, in one
/// transaction. Returns whether the lease still held; if it did not, nothing was done.
pub async fn dead_letter(
    connection: &mut Connection,
    row: ClaimedRow,
    reason: &str,
    announcement: Option<&OutboxEvent>,
) -> Result<bool, StoreError> {
    let HeldShard { shard, token } = row.held;
    connection
        .transaction(async |connection| {
            let statement = PutAside { shard: &shard, seq: &row.seq, token: &token, reason };
            let moved = statement.execute(connection).await? == 1;
            if let (true, Some(event)) = (moved, announcement) {
                enqueue(connection, std::slice::from_ref(event)).await?;
            }
            Ok(moved)
        })
        .await
}
