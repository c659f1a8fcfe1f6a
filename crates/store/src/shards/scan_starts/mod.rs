//! Where the scan of each shard starts: every earlier row is gone, and no transaction can commit
//! one any more.
//!
//! PostgreSQL keeps deleted rows while an open transaction could still see them. A scan from the
//! beginning of a shard would read all of them again, each time.
//!
//! A row has its position before its transaction commits, so an earlier row can appear later. The
//! row is written under a lock on the table, which its transaction holds until its end. So a
//! position is closed, which means that no earlier row can appear any more, once every transaction
//! has ended that held such a lock when the position was the next one. Other transactions may stay
//! open: they cannot have written an earlier row.

use std::collections::HashSet;
use std::time::Duration;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, Bool, Nullable, SmallInt, Text};
use diesel_async::RunQueryDsl;
use tokio::time::Instant;

use super::{QueueName, SHARDS, Shards};
use crate::statement::{push, statement};
use crate::{Connection, StoreError};

/// A shard, and the position where its scan starts. The positions of the outbox are sequence
/// numbers; those of the shipments are times, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardStart {
    /// The shard.
    pub shard: i16,
    /// The first position that the scan reads.
    pub position: i64,
}

impl ShardStart {
    /// The starts of scans of all shards that read every row.
    pub fn beginnings() -> Vec<Self> {
        Shards::ALL.iter().map(|shard| Self { shard, position: BEGINNING }).collect()
    }
}

/// The starts as rows of a statement: the shard and the position.
#[derive(Default)]
pub(crate) struct StartRows {
    shards: Vec<i16>,
    positions: Vec<i64>,
}

impl StartRows {
    pub(crate) fn of(starts: &[ShardStart]) -> Self {
        Self {
            shards: starts.iter().map(|start| start.shard).collect(),
            positions: starts.iter().map(|start| start.position).collect(),
        }
    }
}

impl QueryFragment<Pg> for StartRows {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let Self { shards, positions } = self;
        push!(out "UNNEST(" {Array<SmallInt> = shards} "::smallint[], " {Array<BigInt> = positions} "::bigint[])");
        Ok(())
    }
}

/// Before the first position of every queue.
const BEGINNING: i64 = 0;

/// How long the starts are used before the shards are scanned from the beginning once, for what the
/// locks do not show: a failover to a server that lacks the latest transactions uses positions
/// again, a clock can be set back, and an operator can change a time.
const FULL_SCAN_INTERVAL: Duration = Duration::from_mins(1);

/// Number of claimed rows after which the starts move: a scan reads at most as many that are gone,
/// and those that were claimed since.
const ADVANCE_AFTER: usize = 500;

statement! {
    varying struct NextPosition { queue: QueueName } -> BigInt;
    "SELECT " (queue.next_position())
}

statement! {
    /// Prepared transactions belong to no process, and their ids differ from those before the
    /// `PREPARE`.
    varying struct OpenWriters { queue: QueueName } -> (Nullable<Text>, Bool);
    "SELECT virtualtransaction, pid IS NULL FROM pg_locks
     WHERE locktype = 'relation' AND relation = '" (queue.rows()) "'::regclass
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND mode = 'RowExclusiveLock' AND granted"
}

statement! {
    /// The position of the oldest row of each shard, from the start of its scan.
    varying struct Oldest { queue: QueueName, starts: StartRows } -> (SmallInt, BigInt);
    "SELECT s.shard, oldest.position
     FROM " {starts} " AS s (shard, start)
     CROSS JOIN LATERAL (" (queue.oldest()) ") oldest"
}

/// The writers of a queue at one time.
#[derive(Debug)]
struct Reading {
    /// The first position that a later writer can use. Read before the writers.
    next_position: i64,
    writers: HashSet<String>,
    any_prepared: bool,
}

impl Reading {
    async fn take(connection: &mut Connection, queue: QueueName) -> Result<Self, StoreError> {
        let next_position = NextPosition { queue: &queue }.get_result(connection).await?;
        let writers: Vec<(Option<String>, bool)> =
            OpenWriters { queue: &queue }.load(connection).await?;
        let any_prepared = writers.iter().any(|(_, prepared)| *prepared);
        let writers = writers.into_iter().filter_map(|(transaction, _)| transaction).collect();
        Ok(Self { next_position, writers, any_prepared })
    }
}

/// The last closed position, and the one that closes next.
#[derive(Debug, Default)]
struct Closing {
    closed: i64,
    /// An earlier reading, with those of its writers that have not ended.
    waits: Option<Reading>,
}

impl Closing {
    /// Returns whether positions are used again, so that nothing is closed any more.
    fn note(&mut self, now: Reading) -> bool {
        let Some(waits) = &mut self.waits else {
            self.waits = Some(now);
            return false;
        };
        if now.next_position < waits.next_position {
            *self = Self { closed: BEGINNING, waits: Some(now) };
            return true;
        }
        waits.writers.retain(|writer| now.writers.contains(writer));
        if waits.writers.is_empty() && !now.any_prepared {
            self.closed = waits.next_position;
            self.waits = Some(now);
        }
        false
    }
}

/// The start of the scan of each shard of a queue, as one reader of the queue knows it.
#[derive(Debug)]
pub struct ScanStarts {
    queue: QueueName,
    closing: Closing,
    /// Of each shard, by its number.
    positions: Vec<i64>,
    /// Number of rows that were claimed since the starts moved.
    claimed: usize,
    full_scan_at: Instant,
}

impl ScanStarts {
    /// Starts every scan at the beginning.
    pub fn new(queue: QueueName) -> Self {
        Self {
            queue,
            closing: Closing::default(),
            positions: vec![BEGINNING; usize::from(SHARDS.unsigned_abs())],
            claimed: 0,
            full_scan_at: Instant::now() + FULL_SCAN_INTERVAL,
        }
    }

    /// The starts of these shards.
    pub fn of(&self, shards: &[i16]) -> Vec<ShardStart> {
        let start =
            |shard: &i16| ShardStart { shard: *shard, position: self.positions[index(*shard)] };
        shards.iter().map(start).collect()
    }

    /// Lets every scan start at the beginning, until [`Self::advance`], which is due now.
    pub fn reset(&mut self) {
        self.positions.fill(BEGINNING);
        self.claimed = ADVANCE_AFTER;
        self.full_scan_at = Instant::now() + FULL_SCAN_INTERVAL;
    }

    /// Notes that rows were claimed, which are gone soon.
    pub fn note_claimed(&mut self, rows: usize) {
        self.claimed += rows;
    }

    /// Whether it is worthwhile to move the starts, or time for a full scan.
    pub fn advance_is_due(&self) -> bool {
        let closed_none = self.closing.closed == BEGINNING;
        closed_none || self.claimed >= ADVANCE_AFTER || self.full_scan_is_due()
    }

    fn full_scan_is_due(&self) -> bool {
        Instant::now() >= self.full_scan_at
    }

    /// Moves the starts of these shards forward to their oldest rows, or to the last closed position
    /// if that is earlier. Looks for the oldest rows from the beginning at an interval.
    pub async fn advance(
        &mut self,
        connection: &mut Connection,
        shards: &[i16],
    ) -> Result<(), StoreError> {
        let used_again = self.closing.note(Reading::take(connection, self.queue).await?);
        if used_again || self.full_scan_is_due() {
            self.reset();
        }
        self.claimed = 0;
        let closed = self.closing.closed;
        if closed == BEGINNING {
            return Ok(());
        }
        // Sees all transactions that ended before the reading.
        let oldest = Oldest { queue: &self.queue, starts: &StartRows::of(&self.of(shards)) };
        let oldest: Vec<(i16, i64)> = oldest.load(connection).await?;
        for shard in shards {
            let start = &mut self.positions[index(*shard)];
            *start = closed.max(*start);
        }
        for (shard, oldest) in oldest {
            let start = &mut self.positions[index(shard)];
            *start = oldest.min(*start);
        }
        Ok(())
    }
}

/// The index of a shard, which is between 0 and 63.
fn index(shard: i16) -> usize {
    usize::from(shard.unsigned_abs())
}

#[cfg(test)]
mod tests;
