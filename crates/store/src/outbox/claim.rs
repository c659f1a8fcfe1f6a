//! Taking rows to publish, and marking what became of them.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Integer, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
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
    /// How often it was put back from the dead letters.
    pub redrive_count: i32,
}

/// A row of the outbox, with the lease under which it was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedRow {
    /// Where the row is, and the token.
    pub held: HeldShard,
    /// Its place in the shard.
    pub seq: i64,
}

statement! {
    /// The oldest rows of each shard that a relay may publish now. It may not publish a row that waits for its next
    /// attempt, nor another one of the same order; nor one of an order that the relay has in hand.
    ///
    /// There is no "after the last one I saw": sequence numbers are taken before they are committed, so a smaller one can
    /// appear later, and is simply found the next time. Rows are counted by their size too: what is taken has to fit into
    /// the memory of a relay, however large orders are.
    struct Claim { shards: Vec<i16>, in_hand: Vec<Uuid>, limit: i64, bytes: i64 }
        -> (SmallInt, BigInt, SqlUuid, SqlUuid, Text, Text, Text, Text, Timestamptz, Integer);
    "SELECT e.shard, e.seq, e.event_id, e.aggregate_id, e.topic, e.event_type, e.payload, e.headers,
            e.occurred_at, e.redrive_count
     FROM UNNEST(" {Array<SmallInt> = shards} ") AS s (shard)
     CROSS JOIN LATERAL (
         SELECT * FROM (
             SELECT o.*, sum(octet_length(o.payload) + octet_length(o.headers))
                        OVER (ORDER BY o.seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
             FROM (
                 SELECT shard, seq, event_id, aggregate_id, topic, event_type, payload::text, headers::text,
                        occurred_at, redrive_count
                 FROM sales.outbox_events o
                 WHERE o.shard = s.shard AND o.aggregate_id NOT IN (SELECT UNNEST(" {Array<SqlUuid> = in_hand} "))
                   AND NOT EXISTS (
                       SELECT FROM sales.outbox_events w
                       WHERE w.shard = o.shard AND w.aggregate_id = o.aggregate_id
                         AND w.next_attempt_at > '-infinity' AND w.next_attempt_at > now())
                 ORDER BY o.seq LIMIT " {BigInt = limit} "
             ) o
         ) sized
         WHERE coalesce(bytes_before, 0) < " {BigInt = bytes} "
     ) e
     ORDER BY e.shard, e.seq"
}

type Row = (i16, i64, Uuid, Uuid, String, String, String, String, DateTime<Utc>, i32);

/// The values and headers of one shard that are taken at once, in bytes; the last one may go beyond.
const SHARD_BYTES: i64 = 128 * 1024;

/// What is there to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// By shard, and in order.
    pub rows: Vec<OutboxRow>,
    /// One of the shards may have more than was taken.
    pub more: bool,
}

/// The oldest rows of each of these shards that may be published now, in order: `per_shard` at most, and fewer where they
/// are large. Rows of the orders `in_hand` are passed over.
pub async fn claim(
    connection: &mut Connection,
    shards: &Vec<i16>,
    in_hand: &Vec<Uuid>,
    per_shard: i64,
) -> Result<Claimed, StoreError> {
    let statement = Claim { shards, in_hand, limit: &per_shard, bytes: &SHARD_BYTES };
    let rows: Vec<Row> = statement.load(connection).await?;
    let more = rows.chunk_by(|one, next| one.0 == next.0).any(|of_shard| {
        let bytes: usize = of_shard.iter().map(bytes_of).sum();
        of_shard.len() >= usize::try_from(per_shard).unwrap_or(0)
            || bytes >= usize::try_from(SHARD_BYTES).unwrap_or(0)
    });
    let rows = rows.into_iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(Claimed { rows, more })
}

fn bytes_of((.., payload, headers, _, _): &Row) -> usize {
    payload.len() + headers.len()
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
        redrive_count,
    ) = row;
    let headers: EventHeaders =
        serde_json::from_str(&headers).map_err(StoreError::corrupt("outbox header"))?;
    let aggregate_id = OrderId::from(aggregate);
    let event =
        OutboxEvent { event_id, aggregate_id, topic, event_type, payload, headers, occurred_at };
    Ok(OutboxRow { shard, seq, event, redrive_count })
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
    rows: &[ClaimedRow],
) -> Result<usize, StoreError> {
    let Columns { shards, seqs, tokens } = &Columns::of(rows);
    Ok(DeletePublished { shards, seqs, tokens }.execute(connection).await?)
}

statement! {
    /// A row waits as long as it has waited already, so that each wait is twice as long as the one before.
    struct Defer { shards: Vec<i16>, seqs: Vec<i64>, tokens: Vec<i64>, reason: str } -> ();
    "UPDATE sales.outbox_events e
     SET next_attempt_at = now() + least(greatest(now() - e.created_at, interval '1 second'), interval '10 seconds'),
         last_error = " {Text = reason} "
     FROM UNNEST(" {Array<SmallInt> = shards} ", " {Array<BigInt> = seqs} ", " {Array<BigInt> = tokens} ")
         AS d (shard, seq, token)
     JOIN sales.outbox_shards s ON s.shard = d.shard AND s.token = d.token
     WHERE e.shard = d.shard AND e.seq = d.seq"
}

/// Lets rows wait, and with them their orders, while others pass: between 1 and 10 seconds, the longer the older they
/// are. No attempt is counted. Returns for how many the lease still held.
pub async fn defer(
    connection: &mut Connection,
    rows: &[ClaimedRow],
    reason: &str,
) -> Result<usize, StoreError> {
    let Columns { shards, seqs, tokens } = &Columns::of(rows);
    Ok(Defer { shards, seqs, tokens, reason }.execute(connection).await?)
}

/// Rows, column by column.
struct Columns {
    shards: Vec<i16>,
    seqs: Vec<i64>,
    tokens: Vec<i64>,
}

impl Columns {
    fn of(rows: &[ClaimedRow]) -> Self {
        Self {
            shards: rows.iter().map(|row| row.held.shard).collect(),
            seqs: rows.iter().map(|row| row.seq).collect(),
            tokens: rows.iter().map(|row| row.held.token).collect(),
        }
    }
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
        let claim = Claim { shards: &vec![1, 2], in_hand: &Vec::new(), limit: &128, bytes: &1 };
        let plan = plan_by_index(&world, &claim).await;
        assert!(plan.contains("Index Scan using outbox_events_pkey"), "{plan}");
        assert!(plan.contains("using outbox_events_waiting"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
    }
}
