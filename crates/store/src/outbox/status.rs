//! The status of the outbox.
//!
//! Operators need it most during a backlog, so its cost does not grow with the backlog. It reads
//! only the oldest rows of each shard, which are published next, and estimates the total from the
//! table's statistics.

use std::collections::BTreeMap;

use diesel::Queryable;
use diesel::sql_types::{BigInt, Double, Nullable, SmallInt, Text};
use diesel_async::RunQueryDsl;

use super::dead_letters::WAITS;
use crate::shards::{self, Holder, QueueName, QueueStatus, ShardStart, StartRows};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// Maximum number of rows that [`status`] reads per shard.
const ROWS_PER_SHARD: i64 = 2_000;
const SAMPLED_ROWS_PER_SHARD: i64 = 64;
/// Maximum number of dead letters that [`status`] counts.
const DEAD_LETTERS: i64 = 100_000;
const SAMPLED_DEAD_LETTERS: i64 = 1_000;

/// The status of the outbox. Ages and remaining times are in seconds, by the database's clock.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The waiting events, by topic.
    pub topics: Vec<TopicDepth>,
    /// Whether all events were counted; otherwise only the oldest ones of each shard.
    pub complete: bool,
    /// Number of events according to the table's statistics, which lag behind.
    pub estimate: i64,
    /// The live relays; the one with the most shards first.
    pub relays: Vec<Holder>,
    /// Shards that no live relay holds.
    pub unheld_shards: i64,
    /// Number of dead letters that wait for an operator.
    pub dead_letters: i64,
    /// Whether all dead letters were counted.
    pub dead_letters_complete: bool,
}

impl From<Status> for QueueStatus {
    fn from(status: Status) -> Self {
        let topics = || status.topics.iter();
        let counted = topics().map(|topic| topic.events).sum();
        let claimable = topics().filter_map(|topic| topic.oldest_claimable_age);
        Self {
            events: if status.complete { counted } else { status.estimate.max(counted) },
            deferred: topics().map(|topic| topic.deferred).sum(),
            oldest_age: topics().map(|topic| topic.oldest_age).fold(0.0, f64::max),
            oldest_claimable_age: claimable.fold(0.0, f64::max),
            dead_letters: status.dead_letters,
            holders: i64::try_from(status.relays.len()).unwrap_or(i64::MAX),
            unheld_shards: status.unheld_shards,
        }
    }
}

/// The waiting events of one topic.
#[derive(Clone, Debug, Default, PartialEq, Queryable)]
pub struct TopicDepth {
    /// The topic.
    pub topic: String,
    /// Number of waiting events.
    pub events: i64,
    /// Number of events that are deferred until their next attempt.
    pub deferred: i64,
    /// Age of the oldest event.
    pub oldest_age: f64,
    /// Age of the oldest event that a relay could publish now: it is the first one of its order,
    /// and is not deferred.
    pub oldest_claimable_age: Option<f64>,
}

statement! {
    struct Depth { starts: StartRows, limit: i64 } -> (SmallInt, (Text, BigInt, BigInt, Double, Nullable<Double>));
    "WITH waiting AS (
        SELECT e.shard, e.topic, e.due, extract(epoch FROM clock_timestamp() - e.created_at)::float8 AS age,
               e.due AND row_number() OVER (PARTITION BY e.shard, e.aggregate_id ORDER BY e.seq) = 1 AS claimable
        FROM " {starts} " AS s (shard, start)
        CROSS JOIN LATERAL (
            SELECT *, next_attempt_at <= now() AS due
            FROM sales.outbox_events o WHERE o.shard = s.shard AND o.seq >= s.start ORDER BY o.seq LIMIT " {BigInt = limit} "
        ) e
     )
     SELECT shard, topic, count(*), count(*) FILTER (WHERE NOT due), max(age), max(age) FILTER (WHERE claimable)
     FROM waiting GROUP BY shard, topic"
}

statement! {
    struct Waiting { limit: i64 } -> BigInt;
    "SELECT count(*) FROM (
        SELECT FROM sales.outbox_dead_letters WHERE " (WAITS) " LIMIT " {BigInt = limit} "
     ) AS waiting"
}

statement! {
    struct Estimate { table: str } -> BigInt;
    "SELECT pg_stat_get_live_tuples(" {Text = table} "::text::regclass)"
}

/// Reads the status, for an operator.
pub async fn status(connection: &mut Connection) -> Result<Status, StoreError> {
    read_status(connection, &ShardStart::beginnings(), ROWS_PER_SHARD, DEAD_LETTERS).await
}

/// Like [`status`], but reads fewer rows, for periodic metrics, and each shard from its start.
pub async fn sample_status(
    connection: &mut Connection,
    starts: &[ShardStart],
) -> Result<Status, StoreError> {
    read_status(connection, starts, SAMPLED_ROWS_PER_SHARD, SAMPLED_DEAD_LETTERS).await
}

async fn read_status(
    connection: &mut Connection,
    starts: &[ShardStart],
    rows_per_shard: i64,
    most_dead_letters: i64,
) -> Result<Status, StoreError> {
    let depth = Depth { starts: &StartRows::of(starts), limit: &rows_per_shard };
    let rows: Vec<(i16, TopicDepth)> = depth.load(connection).await?;
    let (topics, complete) = by_topic(rows, rows_per_shard);
    let estimate = Estimate { table: "sales.outbox_events" }.get_result(connection).await?;
    let relays = shards::holders(connection, QueueName::Outbox).await?;
    let unheld_shards = shards::unheld(connection, QueueName::Outbox).await?;
    let dead_letters = Waiting { limit: &most_dead_letters }.get_result(connection).await?;
    Ok(Status {
        topics,
        complete,
        estimate,
        relays,
        unheld_shards,
        dead_letters,
        dead_letters_complete: dead_letters < most_dead_letters,
    })
}

/// Sums up the shards per topic. A shard that returned `rows_per_shard` rows may have more.
fn by_topic(rows: Vec<(i16, TopicDepth)>, rows_per_shard: i64) -> (Vec<TopicDepth>, bool) {
    let mut topics = BTreeMap::<String, TopicDepth>::new();
    let mut by_shard = BTreeMap::<i16, i64>::new();
    for (shard, row) in rows {
        *by_shard.entry(shard).or_default() += row.events;
        let depth = topics.entry(row.topic).or_default();
        depth.events += row.events;
        depth.deferred += row.deferred;
        depth.oldest_age = depth.oldest_age.max(row.oldest_age);
        // `None` compares as less than any age.
        if row.oldest_claimable_age > depth.oldest_claimable_age {
            depth.oldest_claimable_age = row.oldest_claimable_age;
        }
    }
    let complete = by_shard.values().all(|events| *events < rows_per_shard);
    let topics = topics.into_iter().map(|(topic, depth)| TopicDepth { topic, ..depth });
    (topics.collect(), complete)
}

#[cfg(test)]
mod tests {
    use domain::OrderId;
    use test_kit::{World, outbox_event, put_into_outbox};

    use super::{Depth, sample_status, status};
    use crate::shards::{ShardStart, StartRows};
    use crate::statement::plan_by_index;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sampled_status_reads_fewer_rows_and_is_incomplete() {
        let world = World::create().await;
        let order = OrderId::generate();
        let events: Vec<_> = (0..100).map(|_| outbox_event(&world, order, "{}")).collect();
        put_into_outbox(&world, &events).await;
        let mut connection = world.store().connection().await.unwrap();

        let all = status(&mut connection).await.unwrap();
        assert_eq!((all.topics[0].events, all.complete), (100, true));
        let some = sample_status(&mut connection, &ShardStart::beginnings()).await.unwrap();
        assert_eq!((some.topics[0].events, some.complete), (64, false));
        // The sample contains the oldest rows.
        assert!(some.topics[0].oldest_age >= all.topics[0].oldest_age);
        assert_eq!(some.unheld_shards, 64);
    }

    #[tokio::test]
    async fn the_status_uses_the_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.outbox_events").await;
        let plan =
            plan_by_index(&world, &Depth { starts: &StartRows::default(), limit: &64 }).await;
        assert!(plan.contains("using outbox_events_pkey on"), "{plan}");
        assert!(!plan.contains("Seq Scan on outbox_events"), "{plan}");
    }
}
