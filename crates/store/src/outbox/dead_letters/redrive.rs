//! Putting dead letters back into the outbox.
//!
//! A row is marked and its event put back by one statement, so a redrive that ends anywhere has neither lost nor doubled
//! anything, and the next one goes on where it ended. Two at once share the work: each passes over what the other holds.

use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use uuid::Uuid;

use super::DeadLetterFilter;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// The most dead letters that a plan looks at.
const LOOK_AT_MOST: i64 = 100_000;

/// What is to be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// Which dead letters.
    pub filter: DeadLetterFilter,
    /// An event that was put back so often is left alone.
    pub max_redrives: i32,
}

/// What a redrive would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedrivePlan {
    /// The dead letters by topic and reason, the largest group first.
    pub groups: Vec<RedriveGroup>,
    /// Whether that is all; otherwise only the oldest were counted.
    pub complete: bool,
    /// The newest dead letter there is: what comes back during a redrive has a larger number.
    pub newest: i64,
}

/// Dead letters that have topic and reason in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedriveGroup {
    /// Where the events should have gone.
    pub topic: String,
    /// Why they did not.
    pub reason: String,
    /// Whether they were put back too often already.
    pub too_often: bool,
    /// How many there are.
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
    /// Up to a number, so that it takes a look at the end of an index and not at the table.
    struct Newest { most: i64 } -> BigInt;
    "SELECT COALESCE(max(id), 0) FROM sales.outbox_dead_letters
     WHERE redriven_at IS NULL AND id <= " {BigInt = most}
}

/// Counts what a redrive would put back and what it would leave.
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
        limit: &LOOK_AT_MOST,
    };
    let rows: Vec<(String, String, bool, i64)> = statement.load(connection).await?;
    let groups: Vec<RedriveGroup> = rows
        .into_iter()
        .map(|(topic, reason, too_often, count)| RedriveGroup { topic, reason, too_often, count })
        .collect();
    let complete = groups.iter().map(|group| group.count).sum::<i64>() < LOOK_AT_MOST;
    Ok(RedrivePlan { groups, complete, newest })
}

statement! {
    /// Sequence numbers are given in the order of the rows, and nobody gets past a row that another redrive is putting
    /// back: so the events of an order keep their order.
    struct PutBack {
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

/// Puts the oldest `limit` dead letters back, none newer than `newest`, and returns how many that were; 0 when there are
/// no more.
pub async fn redrive(
    connection: &mut Connection,
    redrive: &Redrive,
    newest: i64,
    limit: i64,
) -> Result<usize, StoreError> {
    let Redrive { filter, max_redrives } = redrive;
    let order = filter.order.map(OrderId::as_uuid);
    let statement = PutBack {
        id: &filter.id,
        topic: &filter.topic,
        order: &order,
        max_redrives,
        newest: &newest,
        limit: &limit,
    };
    Ok(statement.execute(connection).await?)
}
