//! Redrives dead letters: moves their events back into the outbox.
//!
//! One statement marks the dead letter and inserts its event. So a redrive that is interrupted
//! neither loses nor duplicates an event, and the next redrive continues where it stopped.
//! Concurrent redrives wait for each other's rows, and redrive each dead letter once.

use diesel::Queryable;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use uuid::Uuid;

use super::DeadLetterFilter;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// Maximum number of dead letters that a plan counts.
const MAX_PLANNED: i64 = 100_000;

/// Selects the dead letters to redrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The filter.
    pub filter: DeadLetterFilter,
    /// Events that were redriven this often are skipped.
    pub max_redrives: i32,
}

/// What a redrive would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedrivePlan {
    /// The dead letters by topic and reason, the largest group first.
    pub groups: Vec<RedriveGroup>,
    /// Whether all dead letters were counted; otherwise only the oldest ones.
    pub complete: bool,
    /// The largest id. An event that is dead-lettered again during the redrive gets a larger id.
    pub newest: i64,
}

/// Dead letters with the same topic and reason.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct RedriveGroup {
    /// The topic that the events were for.
    pub topic: String,
    /// The reason for the dead letters.
    pub reason: String,
    /// Whether they have reached the maximum number of redrives.
    pub too_often: bool,
    /// Number of dead letters in the group.
    pub count: i64,
}

statement! {
    struct Plan {
        id: Option<i64>, topic: Option<String>, order: Option<Uuid>, max_redrives: i32, limit: i64,
    } -> (Text, Text, Bool, BigInt);
    "SELECT topic, reason, too_often, count(*)
     FROM (
        SELECT topic, reason, redrive_count >= " {Integer = max_redrives} " AS too_often
        FROM sales.outbox_dead_letters
        WHERE redriven_at IS NULL
          AND id = COALESCE(" {Nullable<BigInt> = id} ", id)
          AND topic = COALESCE(" {Nullable<Text> = topic} ", topic)
          AND aggregate_id = COALESCE(" {Nullable<SqlUuid> = order} ", aggregate_id)
        ORDER BY id LIMIT " {BigInt = limit} "
     ) AS waiting
     GROUP BY topic, reason, too_often
     ORDER BY count(*) DESC, topic, reason, too_often"
}

statement! {
    /// The condition on `id` makes the planner read the end of an index instead of the table.
    struct Newest { most: i64 } -> BigInt;
    "SELECT COALESCE(max(id), 0) FROM sales.outbox_dead_letters
     WHERE redriven_at IS NULL AND id <= " {BigInt = most}
}

/// Counts the dead letters that a redrive would move and those it would skip.
pub async fn plan(
    connection: &mut Connection,
    redrive: &Redrive,
) -> Result<RedrivePlan, StoreError> {
    let Redrive { filter, max_redrives } = redrive;
    let order = filter.order.map(OrderId::as_uuid);
    let newest = Newest { most: &i64::MAX }.get_result(connection).await?;
    let statement = Plan {
        id: &filter.id,
        topic: &filter.topic,
        order: &order,
        max_redrives,
        limit: &MAX_PLANNED,
    };
    let groups: Vec<RedriveGroup> = statement.load(connection).await?;
    let complete = groups.iter().map(|group| group.count).sum::<i64>() < MAX_PLANNED;
    Ok(RedrivePlan { groups, complete, newest })
}

statement! {
    /// Sequence numbers are assigned in the order of the rows, and a redrive waits for a row that
    /// another redrive has locked. So the events of an order keep their order.
    struct RedriveBatch {
        id: Option<i64>, topic: Option<String>, order: Option<Uuid>, max_redrives: i32, newest: i64, limit: i64,
    } -> ();
    "WITH chosen AS (
        SELECT id FROM sales.outbox_dead_letters
        WHERE redriven_at IS NULL AND redrive_count < " {Integer = max_redrives} " AND id <= " {BigInt = newest} "
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
    redrive: &Redrive,
    newest: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let Redrive { filter, max_redrives } = redrive;
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
