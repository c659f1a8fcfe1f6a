//! Claims rows to publish, and deletes or defers them afterwards.

use contracts::message::EventMessage;
use diesel::Queryable;
use diesel::sql_types::{Array, BigInt, Integer, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::event::{EventColumns, EventRow};
use crate::shards::{Claimed, HeldShard};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A waiting event with its position in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The event's shard.
    pub shard: i16,
    /// The sequence number, which orders the rows of a shard.
    pub seq: i64,
    /// The event.
    pub event: EventMessage,
    /// How often the event was redriven.
    pub redrive_count: i32,
}

/// A row of the outbox, with the lease under which it was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedRow {
    /// The shard and the fencing token of its lease.
    pub held: HeldShard,
    /// The sequence number in the shard.
    pub seq: i64,
}

statement! {
    /// The oldest rows of each shard that may be published now. Excludes all rows of an order if
    /// one of them waits for its next attempt, or if the relay is already publishing events of that
    /// order.
    ///
    /// Every claim starts at the beginning of the shard, not after the last claimed row: sequence
    /// numbers are assigned before the commit, so a smaller one can appear later. The total size is
    /// limited too, so that a claim fits into the relay's memory even if orders are large.
    struct Claim { shards: [i16], in_flight: [Uuid], limit: i64, bytes: i64 }
        -> (SmallInt, BigInt, EventColumns, Integer);
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
                 WHERE o.shard = s.shard AND o.aggregate_id NOT IN (SELECT UNNEST(" {Array<SqlUuid> = in_flight} "))
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

#[derive(Queryable)]
struct Row {
    shard: i16,
    seq: i64,
    event: EventRow,
    redrive_count: i32,
}

/// Maximum size of the values and headers in one claim of a shard, in bytes. The last row may
/// exceed it.
const SHARD_BYTES: i64 = 128 * 1024;

/// Reads the oldest rows of each of these shards that may be published now, in order: at most
/// `per_shard`, fewer if they are large. Skips rows of the orders `in_flight`.
pub async fn claim(
    connection: &mut Connection,
    shards: &[i16],
    in_flight: &[Uuid],
    per_shard: i64,
) -> Result<Claimed<OutboxRow>, StoreError> {
    let statement = Claim { shards, in_flight, limit: &per_shard, bytes: &SHARD_BYTES };
    let rows: Vec<Row> = statement.load(connection).await?;
    let more = rows.chunk_by(|one, next| one.shard == next.shard).any(|of_shard| {
        let bytes: usize = of_shard.iter().map(Row::bytes).sum();
        of_shard.len() >= usize::try_from(per_shard).unwrap_or(0)
            || bytes >= usize::try_from(SHARD_BYTES).unwrap_or(0)
    });
    let rows = rows.into_iter().map(OutboxRow::try_from).collect::<Result<Vec<_>, _>>()?;
    Ok(Claimed { rows, more })
}

impl Row {
    fn bytes(&self) -> usize {
        self.event.payload.len() + self.event.headers.len()
    }
}

impl TryFrom<Row> for OutboxRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let Row { shard, seq, event, redrive_count } = row;
        Ok(Self { shard, seq, event: event.try_into()?, redrive_count })
    }
}

statement! {
    /// A relay that has lost the lease has an old token, and deletes nothing.
    struct DeletePublished { shards: Vec<i16>, seqs: Vec<i64>, tokens: Vec<i64> } -> ();
    "DELETE FROM sales.outbox_events e
     USING UNNEST(" {Array<SmallInt> = shards} ", " {Array<BigInt> = seqs} ", " {Array<BigInt> = tokens} ")
         AS d (shard, seq, token)
     JOIN sales.outbox_shards s ON s.shard = d.shard AND s.token = d.token
     WHERE e.shard = d.shard AND e.seq = d.seq"
}

/// Deletes exactly these rows and returns their number. A number below `rows.len()` means that a
/// lease was lost.
pub async fn delete_published(
    connection: &mut Connection,
    rows: &[ClaimedRow],
) -> Result<usize, StoreError> {
    let Columns { shards, seqs, tokens } = &Columns::of(rows);
    Ok(DeletePublished { shards, seqs, tokens }.execute(connection).await?)
}

statement! {
    /// The wait is as long as the row has already waited, so each wait is twice as long as the
    /// previous one.
    struct Defer { shards: Vec<i16>, seqs: Vec<i64>, tokens: Vec<i64>, reason: str } -> ();
    "UPDATE sales.outbox_events e
     SET next_attempt_at = now() + least(greatest(now() - e.created_at, interval '1 second'), interval '10 seconds'),
         last_error = " {Text = reason} "
     FROM UNNEST(" {Array<SmallInt> = shards} ", " {Array<BigInt> = seqs} ", " {Array<BigInt> = tokens} ")
         AS d (shard, seq, token)
     JOIN sales.outbox_shards s ON s.shard = d.shard AND s.token = d.token
     WHERE e.shard = d.shard AND e.seq = d.seq"
}

/// Defers rows, and with them all rows of their orders, for 1 to 10 seconds depending on their age.
/// Rows of other orders are published meanwhile. Returns the number of rows whose lease was still
/// valid.
pub async fn defer(
    connection: &mut Connection,
    rows: &[ClaimedRow],
    reason: &str,
) -> Result<usize, StoreError> {
    let Columns { shards, seqs, tokens } = &Columns::of(rows);
    Ok(Defer { shards, seqs, tokens, reason }.execute(connection).await?)
}

/// The rows as arrays, one per column.
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
    async fn a_claim_uses_the_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.outbox_events").await;
        let claim = Claim { shards: &[1, 2], in_flight: &[], limit: &128, bytes: &1 };
        let plan = plan_by_index(&world, &claim).await;
        assert!(plan.contains("Index Scan using outbox_events_pkey"), "{plan}");
        assert!(plan.contains("using outbox_events_waiting"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
    }
}
