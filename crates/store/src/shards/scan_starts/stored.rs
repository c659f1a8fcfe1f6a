//! The starts that are stored in the rows of the shards, for the next holder of each.

use diesel::sql_types::{Array, BigInt, SmallInt};
use diesel_async::RunQueryDsl;

use super::{ShardStart, StartRows};
use crate::shards::QueueName;
use crate::statement::statement;
use crate::{Connection, StoreError};

statement! {
    varying struct Load { queue: QueueName, shards: Vec<i16> } -> (SmallInt, BigInt);
    "SELECT shard, scan_start FROM " (queue.shards()) " WHERE shard = ANY(" {Array<SmallInt> = shards} ")"
}

statement! {
    /// Leaves a start alone that was not the expected one: another holder of the shard or a redrive
    /// has written it.
    varying struct Store { queue: QueueName, starts: StartRows, expected: StartRows } -> SmallInt;
    "WITH unchanged AS MATERIALIZED (
         SELECT t.shard, n.position
         FROM " {starts} " AS n (shard, position)
         JOIN " {expected} " AS e (shard, position) ON e.shard = n.shard
         JOIN " (queue.shards()) " t ON t.shard = n.shard AND t.scan_start = e.position
         ORDER BY t.shard FOR NO KEY UPDATE OF t
     )
     UPDATE " (queue.shards()) " t SET scan_start = u.position FROM unchanged u WHERE t.shard = u.shard
     RETURNING t.shard"
}

/// The stored starts of these shards.
pub async fn stored(
    connection: &mut Connection,
    queue: QueueName,
    shards: &[i16],
) -> Result<Vec<ShardStart>, StoreError> {
    let load = Load { queue: &queue, shards: &shards.to_vec() };
    let rows: Vec<(i16, i64)> = load.load(connection).await?;
    Ok(rows.into_iter().map(|(shard, position)| ShardStart { shard, position }).collect())
}

/// Stores these starts, each if the stored one is the `expected` one of its shard. Returns the shards
/// whose start was stored.
pub(super) async fn store(
    connection: &mut Connection,
    queue: QueueName,
    starts: &[ShardStart],
    expected: &[ShardStart],
) -> Result<Vec<i16>, StoreError> {
    let (starts, expected) = (&StartRows::of(starts), &StartRows::of(expected));
    Ok(Store { queue: &queue, starts, expected }.load(connection).await?)
}
