//! Redrives dead letters: moves their events back into the outbox.
//!
//! One statement marks the dead letter and inserts its event. So a redrive that is interrupted
//! neither loses nor duplicates an event, and the next redrive continues where it stopped.
//! Concurrent redrives wait for each other's rows, and redrive each dead letter once.

use diesel_async::RunQueryDsl;

use super::Selection;
use super::matching::Chosen;
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    /// Sequence numbers are assigned in the order of the rows, and a redrive waits for a row that
    /// another redrive has locked. So the events of an order keep their order.
    varying struct RedriveBatch { chosen: Chosen<'a> } -> ();
    "WITH chosen AS (" {chosen} "),
     redriven AS (
        UPDATE sales.outbox_dead_letters d
        SET redriven_at = now(), redrive_count = d.redrive_count + 1
        FROM chosen WHERE d.id = chosen.id
        RETURNING d.*
     )
     INSERT INTO sales.outbox_events
         (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, redrive_count)
     SELECT shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, redrive_count
     FROM redriven ORDER BY id"
}

/// Redrives the oldest `limit` dead letters with an id up to `newest`. Returns their number; 0 if
/// there are no more.
pub async fn redrive(
    connection: &mut Connection,
    selection: &Selection,
    newest: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let chosen = &Chosen::of(selection, newest, limit);
    Ok(RedriveBatch { chosen }.execute(connection).await?)
}
