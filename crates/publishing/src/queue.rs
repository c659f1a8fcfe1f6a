//! What differs between the queues.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::message::EventMessage;
use store::shards::{Claimed, Held, HeldShard, QueueName, QueueStatus, ShardStart};
use store::{Connection, Database, StoreError};
use uuid::Uuid;

/// A table of rows, each with an event to publish. The methods are statements; all of them run
/// under the leases of the shards.
pub trait Queue: std::fmt::Debug + Send + Sync + 'static {
    /// A row with its event.
    type Row: std::fmt::Debug + Send + Sync + 'static;

    /// The queue whose shards are leased.
    const NAME: QueueName;

    /// Pause after a step that took all due rows. Rows that become due meanwhile are published
    /// together, instead of a few at a time with a commit each. Zero if rows are due at once, and a
    /// notification announces them.
    const GATHER: Duration = Duration::ZERO;

    /// The shard of a row.
    fn shard(row: &Self::Row) -> i16;

    /// The order of a row. Events of an order are published one after the other.
    fn order(row: &Self::Row) -> Uuid;

    /// The event of a row.
    fn message(&self, row: &Self::Row) -> Arc<EventMessage>;

    /// Decides what the next claim depends on, while no claim of these shards is running. The rows of
    /// the orders `in_flight` stay as they are.
    fn before_claim(
        &self,
        _connection: &mut Connection,
        _held: &[HeldShard],
        _in_flight: &[Uuid],
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        ready(Ok(()))
    }

    /// When the latest row that this instance has claimed was due; `None` if rows have no such time.
    /// The next holder of a shard must know, because the database's clock can be set back.
    fn latest_claim(&self) -> Option<DateTime<Utc>> {
        None
    }

    /// Reads the oldest due rows of each of these shards from its start, in order: at most
    /// `per_shard`. Skips rows of the orders `in_flight`.
    fn claim(
        &self,
        connection: &mut Connection,
        starts: &[ShardStart],
        in_flight: &[Uuid],
        per_shard: i64,
    ) -> impl Future<Output = Result<Claimed<Self::Row>, StoreError>> + Send;

    /// Records that these events were published. Returns the number of rows whose lease was still
    /// valid.
    fn mark(
        &self,
        connection: &mut Connection,
        rows: &[Held<Self::Row>],
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Makes these rows wait for a later attempt, while rows of other orders pass.
    fn defer(
        &self,
        connection: &mut Connection,
        rows: &[Held<Self::Row>],
        reason: &str,
    ) -> impl Future<Output = Result<usize, StoreError>> + Send;

    /// Dead-letters an event that can never be published. Returns whether the lease was still
    /// valid; if not, nothing was changed.
    fn dead_letter(
        &self,
        connection: &mut Connection,
        held: HeldShard,
        row: &Self::Row,
        reason: &str,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Time until the next row of these shards is due, at most `longest`. Skips rows of the orders
    /// `in_flight`.
    fn until_next_due(
        &self,
        _database: &Database,
        _starts: &[ShardStart],
        _in_flight: &[Uuid],
        longest: Duration,
    ) -> impl Future<Output = Result<Duration, StoreError>> + Send {
        ready(Ok(longest))
    }

    /// The status of the whole queue, for its metrics.
    fn status(
        connection: &mut Connection,
        starts: &[ShardStart],
    ) -> impl Future<Output = Result<QueueStatus, StoreError>> + Send;
}
