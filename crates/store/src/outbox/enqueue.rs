//! Inserts events other than the `order.created` events of new orders.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{OutboxColumns, OutboxEvent};
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    struct Enqueue {
        shards: Vec<i16>, event_ids: Vec<Uuid>, aggregates: Vec<Uuid>, topics: Vec<String>,
        event_types: Vec<String>, payloads: Vec<String>, headers: Vec<String>, occurred: Vec<DateTime<Utc>>,
    } -> ();
    "INSERT INTO sales.outbox_events
        (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)
     SELECT e.shard, e.event_id, e.aggregate_id, e.topic, e.event_type, e.payload::json, e.headers::jsonb, e.occurred_at
     FROM UNNEST(" {Array<SmallInt> = shards} ", " {Array<SqlUuid> = event_ids} ", "
         {Array<SqlUuid> = aggregates} ", " {Array<Text> = topics} ", " {Array<Text> = event_types} ", "
         {Array<Text> = payloads} ", " {Array<Text> = headers} ", " {Array<Timestamptz> = occurred} ")
         AS e (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)"
}

/// Inserts events into the outbox. Call it in the transaction of the change that they report.
pub async fn enqueue(
    connection: &mut Connection,
    events: &[OutboxEvent],
) -> Result<(), StoreError> {
    let columns = OutboxColumns::of(events.iter());
    let statement = Enqueue {
        shards: &columns.shards,
        event_ids: &columns.event_ids,
        aggregates: &columns.aggregates,
        topics: &columns.topics,
        event_types: &columns.event_types,
        payloads: &columns.payloads,
        headers: &columns.headers,
        occurred: &columns.occurred,
    };
    statement.execute(connection).await?;
    Ok(())
}
