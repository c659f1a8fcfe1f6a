//! Where the scan of each shard starts: every earlier row is gone, and no transaction can commit
//! one any more.
//!
//! PostgreSQL keeps deleted rows while an open transaction could still see them. A scan from the
//! beginning of a shard would read all of them again, each time.
//!
//! The starts are also stored with the leases of the shards, so that the next holder of a shard does
//! not begin with the rows that its predecessors have finished.

mod stored;

use std::time::Duration;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{Array, BigInt, SmallInt};
use diesel_async::RunQueryDsl;
use tokio::time::Instant;

pub use self::stored::stored;
use super::{QueueName, SHARDS, Shards};
use crate::closing::{BEGINNING, Closing, Reading};
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

/// How long the starts are used before the shards are scanned from the beginning once, for what the
/// locks do not show: a failover to a server that lacks the latest transactions uses positions
/// again, a clock can be set back, and an operator can change a time.
const FULL_SCAN_INTERVAL: Duration = Duration::from_mins(1);

/// Interval between two writes of the starts to the database. A holder that is killed leaves the
/// rows of this time to its successor, which reads them once more.
const STORE_INTERVAL: Duration = Duration::from_secs(10);

/// Number of claimed rows after which the starts move: a scan reads at most as many that are gone,
/// and those that were claimed since.
const ADVANCE_AFTER: usize = 500;

statement! {
    /// The position of the oldest row of each shard, from the start of its scan.
    varying struct Oldest { queue: QueueName, starts: StartRows } -> (SmallInt, BigInt);
    "SELECT s.shard, oldest.position
     FROM " {starts} " AS s (shard, start)
     CROSS JOIN LATERAL (" (queue.oldest()) ") oldest"
}

/// The start of the scan of each shard of a queue, as one reader of the queue knows it.
#[derive(Debug)]
pub struct ScanStarts {
    queue: QueueName,
    closing: Closing,
    /// Of each shard, by its number.
    positions: Vec<i64>,
    /// The position of each shard that is stored in the database, by its number; none if it has to
    /// be read.
    stored: Vec<Option<i64>>,
    /// Number of rows that were claimed since the starts moved.
    claimed: usize,
    full_scan_at: Instant,
    store_at: Instant,
}

impl ScanStarts {
    /// Knows no starts yet.
    pub fn new(queue: QueueName) -> Self {
        let shards = usize::from(SHARDS.unsigned_abs());
        let now = Instant::now();
        Self {
            queue,
            closing: Closing::default(),
            positions: vec![BEGINNING; shards],
            stored: vec![None; shards],
            claimed: 0,
            full_scan_at: now + FULL_SCAN_INTERVAL,
            store_at: now + STORE_INTERVAL,
        }
    }

    /// The starts of these shards. Moves them first if that is worthwhile.
    pub async fn current(
        &mut self,
        connection: &mut Connection,
        shards: &[i16],
    ) -> Result<Vec<ShardStart>, StoreError> {
        if self.advance_is_due(shards) {
            self.advance(connection, shards).await?;
        }
        Ok(self.of(shards))
    }

    /// The starts of these shards, as they are.
    pub fn of(&self, shards: &[i16]) -> Vec<ShardStart> {
        let start =
            |shard: &i16| ShardStart { shard: *shard, position: self.positions[index(*shard)] };
        shards.iter().map(start).collect()
    }

    /// Reads the stored starts again before the next scan: they may be on another server now, or a
    /// redrive has moved them back.
    pub fn forget(&mut self) {
        self.stored.fill(None);
    }

    /// Notes that rows were claimed, which are gone soon.
    pub fn note_claimed(&mut self, rows: usize) {
        self.claimed += rows;
    }

    fn advance_is_due(&self, shards: &[i16]) -> bool {
        self.closing.closed == BEGINNING
            || self.claimed >= ADVANCE_AFTER
            || self.full_scan_is_due()
            || shards.iter().any(|shard| self.stored[index(*shard)].is_none())
    }

    fn full_scan_is_due(&self) -> bool {
        Instant::now() >= self.full_scan_at
    }

    /// Moves the starts of these shards forward to their oldest rows, or to the last closed position
    /// if that is earlier. Looks for the oldest rows from the beginning at an interval.
    async fn advance(
        &mut self,
        connection: &mut Connection,
        shards: &[i16],
    ) -> Result<(), StoreError> {
        self.load(connection, shards).await?;
        let reading = Reading::take(connection, self.queue.positions()).await?;
        let is_ahead = |shard: &i16| self.positions[index(*shard)] > reading.next_position;
        let used_again = shards.iter().any(is_ahead);
        if self.closing.note(reading) || used_again || self.full_scan_is_due() {
            self.positions.fill(BEGINNING);
            self.full_scan_at = Instant::now() + FULL_SCAN_INTERVAL;
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
        if Instant::now() >= self.store_at {
            self.store(connection, shards).await?;
        }
        Ok(())
    }

    /// Reads the stored starts of those of these shards for which they are not known.
    async fn load(
        &mut self,
        connection: &mut Connection,
        shards: &[i16],
    ) -> Result<(), StoreError> {
        let unknown = |shard: &&i16| self.stored[index(**shard)].is_none();
        let unknown: Vec<i16> = shards.iter().filter(unknown).copied().collect();
        if unknown.is_empty() {
            return Ok(());
        }
        for start in stored::stored(connection, self.queue, &unknown).await? {
            self.positions[index(start.shard)] = start.position;
            self.stored[index(start.shard)] = Some(start.position);
        }
        Ok(())
    }

    /// Stores the starts of these shards for their next holder.
    pub async fn store(
        &mut self,
        connection: &mut Connection,
        shards: &[i16],
    ) -> Result<(), StoreError> {
        self.store_at = Instant::now() + STORE_INTERVAL;
        let mut starts = self.of(shards);
        starts.retain(|start| {
            self.stored[index(start.shard)].is_some_and(|stored| stored != start.position)
        });
        if starts.is_empty() {
            return Ok(());
        }
        let expected = starts.iter().filter_map(|start| {
            let position = self.stored[index(start.shard)].take()?;
            Some(ShardStart { position, ..*start })
        });
        let expected: Vec<ShardStart> = expected.collect();
        for shard in stored::store(connection, self.queue, &starts, &expected).await? {
            self.stored[index(shard)] = Some(self.positions[index(shard)]);
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
