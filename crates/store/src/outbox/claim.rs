//! Taking rows to publish, and marking what became of them.

use chrono::{DateTime, Utc};
use diesel::sql_types::{
    Array, BigInt, Bool, Integer, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use uuid::Uuid;

use super::{EventHeaders, HeldShard, OutboxEvent};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A waiting event and its place in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The shard that it is in.
    pub shard: i16,
    /// Its place in the shard.
    pub seq: i64,
    /// The event.
    pub event: OutboxEvent,
    /// How often it was refused so far.
    pub attempts: i16,
    /// How often it was put back from the dead letters.
    pub redrive_count: i32,
    /// False while it waits out a refusal; nothing of the same order may overtake it.
    pub due: bool,
}

/// A row whose record was acknowledged, with the token of the lease under which it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedRow {
    /// Where the row is, and the token.
    pub held: HeldShard,
    /// Its place in the shard.
    pub seq: i64,
}

statement! {
    /// The oldest rows of each shard. There is no "after the last one I saw": sequence numbers are taken before
    /// they are committed, so a smaller one can appear later, and is simply found the next time.
    /// Rows are counted by their size too: what is taken has to fit into the memory of a relay, however large orders are.
    struct Claim { shards: Vec<i16>, limit: i64, bytes: i64 }
        -> (SmallInt, BigInt, SqlUuid, SqlUuid, Text, Text, Text, Text, Timestamptz, SmallInt, Integer, Bool);
    "SELECT e.shard, e.seq, e.event_id, e.aggregate_id, e.topic, e.event_type, e.payload, e.headers,
            e.occurred_at, e.attempts, e.redrive_count, e.due
     FROM UNNEST(" {Array<SmallInt> = shards} ") AS s (shard)
     CROSS JOIN LATERAL (
         SELECT * FROM (
             SELECT o.*, sum(octet_length(o.payload)) OVER (ORDER BY o.seq ROWS UNBOUNDED PRECEDING)
                        - octet_length(o.payload) AS bytes_before
             FROM (
                 SELECT shard, seq, event_id, aggregate_id, topic, event_type, payload::text, headers::text,
                        occurred_at, attempts, redrive_count, next_attempt_at <= now() AS due
                 FROM sales.outbox_events o
                 WHERE o.shard = s.shard ORDER BY o.seq LIMIT " {BigInt = limit} "
             ) o
         ) sized
         WHERE bytes_before < " {BigInt = bytes} "
     ) e
     ORDER BY e.shard, e.seq"
}

type Row = (i16, i64, Uuid, Uuid, String, String, String, String, DateTime<Utc>, i16, i32, bool);

/// The values of one shard that are taken at once, in bytes as they are sent; the last one may go beyond.
const SHARD_BYTES: i64 = 128 * 1024;

/// What is there to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// By shard, and in order.
    pub rows: Vec<OutboxRow>,
    /// One of the shards may have more than was taken.
    pub more: bool,
}

/// The oldest rows of each of these shards, in order: `per_shard` at most, and fewer where they are large.
pub async fn claim(
    connection: &mut Connection,
    shards: &Vec<i16>,
    per_shard: i64,
) -> Result<Claimed, StoreError> {
    let rows: Vec<Row> =
        Claim { shards, limit: &per_shard, bytes: &SHARD_BYTES }.load(connection).await?;
    let rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
    let more = rows.chunk_by(|one, next| one.shard == next.shard).any(|of_shard| {
        let bytes: usize = of_shard.iter().map(|row| row.event.payload.len()).sum();
        of_shard.len() >= usize::try_from(per_shard).unwrap_or(0)
            || bytes >= usize::try_from(SHARD_BYTES).unwrap_or(0)
    });
    Ok(Claimed { rows, more })
}

fn row(row: Row) -> Result<OutboxRow, StoreError> {
    let (
        shard,
        seq,
        event_id,
        aggregate,
        topic,
        event_type,
        payload,
        headers,
        occurred_at,
        attempts,
        redrive_count,
        due,
    ) = row;
    let headers: EventHeaders =
        serde_json::from_str(&headers).map_err(StoreError::corrupt("outbox header"))?;
    let aggregate_id = OrderId::from(aggregate);
    let event =
        OutboxEvent { event_id, aggregate_id, topic, event_type, payload, headers, occurred_at };
    Ok(OutboxRow { shard, seq, event, attempts, redrive_count, due })
}

statement! {
    /// A relay that was overtaken no longer knows the token, and deletes nothing.
    struct DeletePublished { shards: Vec<i16>, seqs: Vec<i64>, tokens: Vec<i64> } -> ();
    "DELETE FROM sales.outbox_events e
     USING UNNEST(" {Array<SmallInt> = shards} ", " {Array<BigInt> = seqs} ", " {Array<BigInt> = tokens} ")
         AS d (shard, seq, token)
     JOIN sales.outbox_shards s ON s.shard = d.shard AND s.token = d.token
     WHERE e.shard = d.shard AND e.seq = d.seq"
}

/// Removes exactly these rows and returns how many there were; fewer than given means that a lease was lost.
pub async fn delete_published(
    connection: &mut Connection,
    rows: &[PublishedRow],
) -> Result<usize, StoreError> {
    let statement = DeletePublished {
        shards: &rows.iter().map(|row| row.held.shard).collect(),
        seqs: &rows.iter().map(|row| row.seq).collect(),
        tokens: &rows.iter().map(|row| row.held.token).collect(),
    };
    Ok(statement.execute(connection).await?)
}

statement! {
    struct RecordFailure { wait_ms: i64, error: str, shard: i16, seq: i64, token: i64 } -> ();
    "UPDATE sales.outbox_events e
     SET attempts = e.attempts + 1,
         next_attempt_at = now() + " {BigInt = wait_ms} " * interval '1 millisecond',
         last_error = " {Text = error} "
     FROM sales.outbox_shards s
     WHERE e.shard = " {SmallInt = shard} " AND e.seq = " {BigInt = seq} "
       AND s.shard = e.shard AND s.token = " {BigInt = token} ""
}

/// Counts a refusal of one row, which is not due again before `wait_ms`. Returns whether the lease still held.
pub async fn record_failure(
    connection: &mut Connection,
    row: PublishedRow,
    wait_ms: i64,
    error: &str,
) -> Result<bool, StoreError> {
    let HeldShard { shard, token } = row.held;
    let statement =
        RecordFailure { wait_ms: &wait_ms, error, shard: &shard, seq: &row.seq, token: &token };
    Ok(statement.execute(connection).await? == 1)
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    use super::Claim;
    use crate::statement::plan_by_index;

    #[tokio::test]
    async fn a_claim_walks_along_the_index_though_the_outbox_was_empty_when_it_was_planned() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.outbox_events").await;
        let plan =
            plan_by_index(&world, &Claim { shards: &vec![1, 2], limit: &128, bytes: &1 }).await;
        assert!(plan.contains("Index Scan using outbox_events_pkey"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
    }
}
