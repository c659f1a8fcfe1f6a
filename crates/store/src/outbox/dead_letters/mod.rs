//! Dead letters of the outbox: events that Kafka rejected permanently.
//!
//! A redrive or a discard keeps the row of the dead letter as an audit record. If a redriven event is
//! rejected again, it gets a new row. The outbox row carries the redrive count from one dead letter to the next.

mod discard;
mod list;
mod matching;
mod plan;
mod redrive;

use contracts::message::EventMessage;
use diesel::sql_types::{BigInt, SmallInt, Text};
use diesel_async::{AsyncConnection, RunQueryDsl};

use super::{OutboxRow, enqueue};
use crate::shards::HeldShard;
use crate::statement::statement;
use crate::{Connection, StoreError};

pub use discard::discard;
pub use list::{DeadLetter, DeadLetterDetails, DeadLetterFilter, find, list};
pub(super) use matching::WAITS;
pub use plan::{Group, Plan, Selection, plan};
pub use redrive::redrive;

statement! {
    /// One statement, so that the event is always in exactly one of the two tables. The lock on the
    /// shard keeps another relay from taking it over and publishing the event at the same time.
    struct MoveToDeadLetters { shard: i16, seq: i64, token: i64, reason: str } -> ();
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

/// Moves a row unchanged to the dead letters, with the reason, and inserts `announcement` into the
/// outbox, in one transaction. Returns whether the lease was still valid; if not, nothing was
/// changed.
pub async fn dead_letter(
    connection: &mut Connection,
    held: HeldShard,
    row: &OutboxRow,
    reason: &str,
    announcement: Option<&EventMessage>,
) -> Result<bool, StoreError> {
    let HeldShard { shard, token } = held;
    connection
        .transaction(async |connection| {
            let statement =
                MoveToDeadLetters { shard: &shard, seq: &row.seq, token: &token, reason };
            let moved = statement.execute(connection).await? == 1;
            if let (true, Some(event)) = (moved, announcement) {
                enqueue(connection, std::slice::from_ref(event)).await?;
            }
            Ok(moved)
        })
        .await
}
