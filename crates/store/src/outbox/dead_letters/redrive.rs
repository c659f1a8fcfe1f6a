//! Redrives dead letters: moves their events back into the outbox.
//!
//! One statement marks the dead letter and inserts its event. So a redrive that is interrupted
//! neither loses nor duplicates an event, and the next redrive continues where it stopped.
//! Concurrent redrives wait for each other's rows, and redrive each dead letter once.

use diesel::sql_types::{BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use uuid::Uuid;

use super::Selection;
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    /// Sequence numbers are assigned in the order of the rows, and a redrive waits for a row that
    /// another redrive has locked. So the events of an order keep their order.
    struct RedriveBatch {
        id: Option<i64>, topic: Option<String>, order: Option<Uuid>, max_redrives: i32, newest: i64, limit: i64,
    } -> ();
    "WITH chosen AS (
        SELECT id FROM sales.outbox_dead_letters
        WHERE redriven_at IS NULL AND discarded_at IS NULL
          AND redrive_count < " {Integer = max_redrives} " AND id <= " {BigInt = newest} "
          AND id = COALESCE(" {Nullable<BigInt> = id} ", id)
          AND topic = COALESCE(" {Nullable<Text> = topic} ", topic)
          AND aggregate_id = COALESCE(" {Nullable<SqlUuid> = order} ", aggregate_id)
        ORDER BY id LIMIT " {BigInt = limit} " FOR UPDATE
     ),
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
    let Selection { filter, max_redrives } = selection;
    let order = filter.order.map(OrderId::as_uuid);
    let statement = RedriveBatch {
        id: &filter.id,
        topic: &filter.topic,
        order: &order,
        max_redrives,
        newest: &newest,
        limit: &limit,
    };
    Ok(statement.execute(connection).await?)
}
