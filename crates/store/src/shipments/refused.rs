//! Dead letters of shipments: steps that Kafka refused permanently.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use domain::OrderId;
use uuid::Uuid;

use super::due::DueShipment;
use super::next_event::NextEvent;
use crate::shards::{HeldShard, Notification, QueueName, notify};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A step that Kafka refused permanently and that was not redriven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedStep {
    /// The order's id.
    pub order_id: OrderId,
    /// The event of the step.
    pub event: NextEvent,
    /// The time of the step, and of its event.
    pub at: DateTime<Utc>,
    /// Why Kafka refused it.
    pub reason: String,
}

statement! {
    /// The lock on the shard keeps another dispatcher from taking it over and publishing the step at
    /// the same time.
    struct Refuse { order: Uuid, at: DateTime<Utc>, reason: str, shard: i16, token: i64 } -> ();
    "WITH held AS MATERIALIZED (
         SELECT shard FROM delivery.shards
         WHERE shard = " {SmallInt = shard} " AND token = " {BigInt = token} " FOR SHARE
     )
     UPDATE delivery.shipments s
     SET refused_step_at = s.next_step_at, refusal = " {Text = reason} ", next_step_at = NULL,
         next_attempt_at = '-infinity', lease_token = NULL, lease_until = '-infinity'
     FROM held
     WHERE s.order_id = " {SqlUuid = order} " AND s.next_step_at IS NOT DISTINCT FROM " {Timestamptz = at}
}

/// Dead-letters a step, with the reason. Returns whether the lease was still valid; if not, nothing
/// was changed.
pub async fn refuse(
    connection: &mut Connection,
    held: HeldShard,
    step: &DueShipment,
    reason: &str,
) -> Result<bool, StoreError> {
    let HeldShard { shard, token } = held;
    let order = &step.order_id.as_uuid();
    let statement = Refuse { order, at: &step.due_at, reason, shard: &shard, token: &token };
    Ok(statement.execute(connection).await? == 1)
}

statement! {
    struct Refused { order: Option<Uuid>, limit: i64 } -> (SqlUuid, Text, Nullable<Text>, Timestamptz, Text);
    "SELECT order_id, state, cancellation, refused_step_at, refusal FROM delivery.shipments
     WHERE refused_step_at IS NOT NULL AND order_id = COALESCE(" {Nullable<SqlUuid> = order} ", order_id)
     ORDER BY refused_step_at DESC LIMIT " {BigInt = limit} ""
}

type RefusedRow = (Uuid, String, Option<String>, DateTime<Utc>, String);

/// The latest `limit` refused steps, newest first, or that of one order.
pub async fn refused(
    connection: &mut Connection,
    order: Option<OrderId>,
    limit: i64,
) -> Result<Vec<RefusedStep>, StoreError> {
    let statement = Refused { order: &order.map(OrderId::as_uuid), limit: &limit };
    let rows: Vec<RefusedRow> = statement.load(connection).await?;
    let steps = rows.into_iter().map(|(order, state, cancellation, at, reason)| {
        let event = NextEvent::after(&state, cancellation.as_deref())?;
        Ok(RefusedStep { order_id: order.into(), event, at, reason })
    });
    steps.collect()
}

statement! {
    struct Count { order: Option<Uuid>, limit: i64 } -> BigInt;
    "SELECT count(*) FROM (
         SELECT FROM delivery.shipments
         WHERE refused_step_at IS NOT NULL AND order_id = COALESCE(" {Nullable<SqlUuid> = order} ", order_id)
         LIMIT " {BigInt = limit} "
     ) refused"
}

/// Counts the refused steps, or that of one order, at most `most`.
pub async fn count_refused(
    connection: &mut Connection,
    order: Option<OrderId>,
    most: i64,
) -> Result<i64, StoreError> {
    let statement = Count { order: &order.map(OrderId::as_uuid), limit: &most };
    Ok(statement.get_result(connection).await?)
}

statement! {
    /// Locks the shards before the shipments, as a decision about a request to cancel does.
    struct Redrive { order: Option<Uuid>, limit: i64 } -> BigInt;
    "WITH oldest AS MATERIALIZED (
         SELECT order_id, delivery.shard_of(order_id) AS shard FROM delivery.shipments
         WHERE refused_step_at IS NOT NULL AND order_id = COALESCE(" {Nullable<SqlUuid> = order} ", order_id)
         ORDER BY refused_step_at LIMIT " {BigInt = limit} "
     ),
     held AS MATERIALIZED (
         SELECT shard FROM delivery.shards WHERE shard IN (SELECT shard FROM oldest)
         ORDER BY shard FOR NO KEY UPDATE
     ),
     redriven AS (
         UPDATE delivery.shipments s
         SET next_step_at = s.refused_step_at, refused_step_at = NULL, refusal = NULL
         FROM (SELECT o.order_id, h.shard FROM oldest o JOIN held h ON h.shard = o.shard ORDER BY o.order_id) o
         WHERE s.order_id = o.order_id AND s.refused_step_at IS NOT NULL
         RETURNING o.shard, (extract(epoch FROM s.next_step_at) * 1000000)::bigint AS position
     ),
     earliest AS (SELECT shard, min(position) AS position FROM redriven GROUP BY shard),
     moved AS (
         UPDATE delivery.shards s SET scan_start = least(s.scan_start, e.position) FROM earliest e WHERE s.shard = e.shard
     )
     SELECT count(*) FROM redriven"
}

/// Redrives the `most` oldest refused steps, or that of one order: makes them due again at their
/// original times, moves the scans of their shards back to them, and notifies the dispatchers.
/// Returns the number of redriven steps.
pub async fn redrive(
    connection: &mut Connection,
    order: Option<OrderId>,
    most: i64,
) -> Result<i64, StoreError> {
    connection
        .transaction(async |connection| {
            let statement = Redrive { order: &order.map(OrderId::as_uuid), limit: &most };
            let redriven: i64 = statement.get_result(connection).await?;
            if redriven > 0 {
                notify(connection, QueueName::Shipments, Notification::Redriven).await?;
            }
            Ok(redriven)
        })
        .await
}
