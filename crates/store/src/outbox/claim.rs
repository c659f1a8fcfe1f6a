//! Claims rows to publish, and deletes or defers them afterwards.

use std::sync::Arc;

use contracts::message::EventMessage;
use diesel::Queryable;
use diesel::sql_types::{Array, BigInt, Integer, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::event::{EventColumns, EventRow};
use crate::shards::{Claimed, Held, HeldShard, ShardStart, StartRows};
use crate::statement::statement;
use crate::tid::{Tid, TidSql};
use crate::{Connection, StoreError};

/// A waiting event with its position in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The event's shard.
    pub shard: i16,
    /// The sequence number, which orders the rows of a shard.
    pub seq: i64,
    /// Where the row was when it was claimed.
    pub(super) place: Tid,
    /// The event.
    pub event: Arc<EventMessage>,
    /// How often the event was redriven.
    pub redrive_count: i32,
}

statement! {
    /// The oldest rows of each shard that may be published now. Excludes all rows of an order if
    /// one of them waits for its next attempt, or if the relay is already publishing events of that
    /// order.
    ///
    /// A claim does not start after the last claimed row: sequence numbers are assigned before the
    /// commit, so a smaller one can appear later. The total size is limited too, so that a claim
    /// fits into the relay's memory even if orders are large. Only a payload that may be compressed
    /// is read to know its size.
    struct Claim { starts: StartRows, in_flight: [Uuid], limit: i64, bytes: i64 }
        -> (SmallInt, BigInt, TidSql, EventColumns, Integer);
    "SELECT e.shard, e.seq, e.place, e.event_id, e.aggregate_id, e.topic, e.event_type, e.payload, e.headers,
            e.occurred_at, e.redrive_count
     FROM " {starts} " AS s (shard, start)
     CROSS JOIN LATERAL (
         SELECT * FROM (
             SELECT o.*, sum(o.bytes) OVER (ORDER BY o.seq ROWS UNBOUNDED PRECEDING) AS bytes_until
             FROM (
                 SELECT shard, seq, ctid AS place, event_id, aggregate_id, topic, event_type, payload, headers,
                        occurred_at, redrive_count,
                        CASE WHEN pg_column_size(payload) < 1000 THEN pg_column_size(payload)
                             ELSE octet_length(payload::text) END AS bytes
                 FROM sales.outbox_events o
                 WHERE o.shard = s.shard AND o.seq >= s.start
                   AND o.aggregate_id NOT IN (SELECT UNNEST(" {Array<SqlUuid> = in_flight} "::uuid[]))
                   AND NOT EXISTS (
                       SELECT FROM sales.outbox_events w
                       WHERE w.shard = o.shard AND w.aggregate_id = o.aggregate_id
                         AND w.next_attempt_at > '-infinity' AND w.next_attempt_at > now())
                 ORDER BY o.seq LIMIT " {BigInt = limit} "
             ) o
         ) sized
         WHERE bytes_until - bytes < " {BigInt = bytes} "
     ) e"
}

#[derive(Queryable)]
struct Row {
    shard: i16,
    seq: i64,
    place: Tid,
    event: EventRow,
    redrive_count: i32,
}

/// Maximum size of the payloads in one claim of a shard, in bytes. The last row may exceed it.
const SHARD_BYTES: i64 = 128 * 1024;
/// What PostgreSQL's size of a payload contains besides the payload, at most.
const SIZE_OVERHEAD: usize = 4;

/// Reads the oldest rows of each of these shards that may be published now, in order: at most
/// `per_shard`, fewer if they are large. Reads a shard from its start, and skips rows of the orders
/// `in_flight`.
pub async fn claim(
    connection: &mut Connection,
    starts: &[ShardStart],
    in_flight: &[Uuid],
    per_shard: i64,
) -> Result<Claimed<OutboxRow>, StoreError> {
    let statement =
        Claim { starts: &StartRows::of(starts), in_flight, limit: &per_shard, bytes: &SHARD_BYTES };
    let mut rows: Vec<Row> = statement.load(connection).await?;
    rows.sort_by_key(|row| (row.shard, row.seq));
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
        self.event.payload.len() + SIZE_OVERHEAD
    }
}

impl TryFrom<Row> for OutboxRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let Row { shard, seq, place, event, redrive_count } = row;
        Ok(Self { shard, seq, place, event: Arc::new(event.try_into()?), redrive_count })
    }
}

statement! {
    /// A row is found by its place, which is cheaper than by its key, and deleted only if it is
    /// still the claimed one: the place of a deleted row is used again. `IS TRUE` keeps the planner
    /// from finding the rows in another way. A relay that has lost the lease has an old token, and
    /// deletes nothing.
    struct DeletePublished { places: Vec<Tid>, seqs: Vec<i64>, shards: Vec<i16>, tokens: Vec<i64> } -> ();
    "DELETE FROM sales.outbox_events e
     WHERE e.ctid = ANY(" {Array<TidSql> = places} ")
       AND (e.seq IN (SELECT UNNEST(" {Array<BigInt> = seqs} "::bigint[]))) IS TRUE
       AND (e.shard IN (
           SELECT s.shard FROM UNNEST(" {Array<SmallInt> = shards} "::smallint[], " {Array<BigInt> = tokens} "::bigint[])
               AS h (shard, token)
           JOIN sales.outbox_shards s ON s.shard = h.shard AND s.token = h.token)) IS TRUE"
}

/// Deletes exactly these rows and returns their number. A number below `rows.len()` means that a
/// lease was lost.
pub async fn delete_published(
    connection: &mut Connection,
    rows: &[Held<OutboxRow>],
) -> Result<usize, StoreError> {
    let mut held: Vec<HeldShard> = rows.iter().map(|(held, _)| *held).collect();
    held.sort_unstable_by_key(|held| (held.shard, held.token));
    held.dedup();
    let statement = DeletePublished {
        places: &rows.iter().map(|(_, row)| row.place).collect(),
        seqs: &rows.iter().map(|(_, row)| row.seq).collect(),
        shards: &held.iter().map(|held| held.shard).collect(),
        tokens: &held.iter().map(|held| held.token).collect(),
    };
    Ok(statement.execute(connection).await?)
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
    rows: &[Held<OutboxRow>],
    reason: &str,
) -> Result<usize, StoreError> {
    let statement = Defer {
        shards: &rows.iter().map(|(held, _)| held.shard).collect(),
        seqs: &rows.iter().map(|(_, row)| row.seq).collect(),
        tokens: &rows.iter().map(|(held, _)| held.token).collect(),
        reason,
    };
    Ok(statement.execute(connection).await?)
}

#[cfg(test)]
mod tests {
    use domain::OrderId;
    use test_kit::{World, outbox_event, put_into_outbox};
    use uuid::Uuid;

    use super::{Claim, DeletePublished, SHARD_BYTES, claim, delete_published};
    use crate::shards::{QueueName, ShardStart, StartRows, share};
    use crate::statement::plan_by_index;

    #[tokio::test]
    async fn a_claim_uses_the_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.outbox_events").await;
        let claim = Claim {
            starts: &StartRows::default(),
            in_flight: &[],
            limit: &32,
            bytes: &SHARD_BYTES,
        };
        let plan = plan_by_index(&world, &claim).await;
        assert!(plan.contains("Index Scan using outbox_events_pkey on"), "{plan}");
        assert!(plan.contains("((shard = s.shard) AND (seq >= s.start))"), "{plan}");
        assert!(plan.contains("using outbox_events_waiting"), "{plan}");
        // The index returns the rows in order.
        for slow in ["Sort", "Seq Scan", "Bitmap"] {
            assert!(!plan.contains(slow), "{plan}");
        }
    }

    #[tokio::test]
    async fn deletes_use_the_places_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.outbox_events, sales.outbox_shards").await;
        let delete = DeletePublished {
            places: &Vec::new(),
            seqs: &Vec::new(),
            shards: &Vec::new(),
            tokens: &Vec::new(),
        };
        let plan = plan_by_index(&world, &delete).await;
        assert!(plan.contains("Tid Scan on outbox_events"), "{plan}");
        // `EXPLAIN` names each hashed condition.
        assert_eq!(plan.matches("hashed SubPlan").count(), 2, "{plan}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_row_at_the_place_of_a_published_one_is_not_deleted() {
        let world = World::create().await;
        let order = OrderId::generate();
        put_into_outbox(&world, &[outbox_event(&world, order, "1")]).await;
        let mut connection = world.store().connection().await.unwrap();
        let held =
            share(&mut connection, QueueName::Outbox, Uuid::new_v4(), 60_000, None).await.unwrap();
        let shards = ShardStart::beginnings();
        let first = claim(&mut connection, &shards, &[], 10).await.unwrap().rows.remove(0);
        let held = *held.iter().find(|held| held.shard == first.shard).unwrap();

        world.database.execute("DELETE FROM sales.outbox_events").await;
        world.database.execute("VACUUM sales.outbox_events").await;
        put_into_outbox(&world, &[outbox_event(&world, order, "2")]).await;
        let second = claim(&mut connection, &shards, &[], 10).await.unwrap().rows.remove(0);
        assert_eq!((second.place, second.shard), (first.place, first.shard));
        let mut delete = async |row| delete_published(&mut connection, &[(held, row)]).await;
        assert_eq!(delete(first).await.unwrap(), 0);
        assert_eq!(delete(second).await.unwrap(), 1);
    }
}
