//! The leases of instances on shards. All times are by the database's clock, so only one clock
//! matters.
//!
//! That clock can be set, and a failover replaces it. A lease whose end is more than twice its
//! length in the future counts as expired, so a clock change cannot make a lease last forever.

use chrono::{DateTime, Utc};
use diesel::Queryable;
use diesel::sql_types::{Array, BigInt, Bool, Double, SmallInt, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use uuid::Uuid;

use super::wake::{Notification, notify};
use super::{QueueName, SHARDS};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shard that an instance holds, with the fencing token of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub struct HeldShard {
    /// The shard.
    pub shard: i16,
    /// The fencing token. It grows with each new lease of the shard; a write with an older token
    /// changes nothing.
    pub token: i64,
}

statement! {
    /// Counts the other live instances, and deletes those whose lease has expired. Skips rows that
    /// another instance is deleting: after an outage all instances run this at the same time.
    varying struct Heartbeat { queue: QueueName, holder: Uuid, lease_ms: i64 } -> BigInt;
    "WITH gone AS (
         DELETE FROM " (queue.holders()) " WHERE " (queue.holder_id()) " IN (
             SELECT " (queue.holder_id()) " FROM " (queue.holders()) "
             WHERE " (queue.holder_id()) " <> " {SqlUuid = holder} "
               AND NOT " (queue.lasts()) "(lease_until, coalesce(lease_ms, " {BigInt = lease_ms} "))
             FOR UPDATE SKIP LOCKED)
     ),
     alive AS (
         INSERT INTO " (queue.holders()) " (" (queue.holder_id()) ", lease_until, lease_ms)
         VALUES (" {SqlUuid = holder} ", now() + " {BigInt = lease_ms} " * interval '1 millisecond', " {BigInt = lease_ms} ")
         ON CONFLICT (" (queue.holder_id()) ") DO UPDATE SET lease_until = excluded.lease_until, lease_ms = excluded.lease_ms
     )
     SELECT count(*) FROM " (queue.holders()) "
     WHERE " (queue.holder_id()) " <> " {SqlUuid = holder} "
       AND " (queue.lasts()) "(lease_until, coalesce(lease_ms, " {BigInt = lease_ms} "))"
}

statement! {
    /// Also renews a lease that has expired, if no other instance has taken the shard.
    varying struct Renew { queue: QueueName, holder: Uuid, lease_ms: i64, limit: i64 } -> (SmallInt, BigInt);
    "UPDATE " (queue.shards()) "
     SET lease_until = now() + " {BigInt = lease_ms} " * interval '1 millisecond', lease_ms = " {BigInt = lease_ms}
         (queue.note_set_back()) "
     WHERE shard IN (
         SELECT shard FROM " (queue.shards()) " WHERE owner = " {SqlUuid = holder} "
         ORDER BY shard LIMIT " {BigInt = limit} " FOR UPDATE)
     RETURNING shard, token"
}

statement! {
    varying struct GiveBack { queue: QueueName, holder: Uuid, kept: Vec<i16> } -> ();
    "UPDATE " (queue.shards()) " SET owner = NULL, lease_until = '-infinity'
     WHERE owner = " {SqlUuid = holder} " AND NOT shard = ANY(" {Array<SmallInt> = kept} ")"
}

statement! {
    /// What the instance has claimed from the shards that it gives back. The outbox has no times.
    struct NoteClaims { holder: Uuid, kept: Vec<i16>, latest: DateTime<Utc> } -> ();
    "UPDATE delivery.shards SET claimed_until = greatest(claimed_until, " {Timestamptz = latest} ")
     WHERE owner = " {SqlUuid = holder} " AND NOT shard = ANY(" {Array<SmallInt> = kept} ")"
}

statement! {
    /// Skips rows that another instance has locked, so that instances never wait for each other.
    varying struct Take { queue: QueueName, holder: Uuid, lease_ms: i64, wanted: i64 } -> (SmallInt, BigInt);
    "UPDATE " (queue.shards()) "
     SET owner = " {SqlUuid = holder} ", token = token + 1, lease_ms = " {BigInt = lease_ms} ",
         lease_until = now() + " {BigInt = lease_ms} " * interval '1 millisecond'" (queue.note_claims()) "
     WHERE shard IN (
         SELECT shard FROM " (queue.shards()) "
         WHERE owner IS DISTINCT FROM " {SqlUuid = holder} "
           AND NOT " (queue.lasts()) "(lease_until, coalesce(lease_ms, " {BigInt = lease_ms} "))
         ORDER BY shard LIMIT " {BigInt = wanted} " FOR UPDATE SKIP LOCKED)
     RETURNING shard, token"
}

statement! {
    varying struct Leave { queue: QueueName, holder: Uuid } -> ();
    "DELETE FROM " (queue.holders()) " WHERE " (queue.holder_id()) " = " {SqlUuid = holder} ""
}

statement! {
    varying struct Live { queue: QueueName, alive: bool } -> (SqlUuid, BigInt, Double);
    "SELECT r." (queue.holder_id()) ", count(s.shard), extract(epoch FROM r.lease_until - now())::float8
     FROM " (queue.holders()) " r
     LEFT JOIN " (queue.shards()) " s ON s.owner = r." (queue.holder_id()) " AND " (queue.lasts()) "(s.lease_until, s.lease_ms)
     WHERE " (queue.lasts()) "(r.lease_until, r.lease_ms) = " {Bool = alive} "
     GROUP BY 1, r.lease_until ORDER BY 2 DESC, 1"
}

statement! {
    varying struct Count { queue: QueueName, held: bool } -> BigInt;
    "SELECT count(*) FROM " (queue.shards()) "
     WHERE (owner IS NOT NULL AND " (queue.lasts()) "(lease_until, lease_ms)) = " {Bool = held}
}

/// An instance whose lease is valid.
#[derive(Clone, Debug, PartialEq, Queryable)]
pub struct Holder {
    /// The instance's id, which is new with each start.
    pub id: Uuid,
    /// Number of shards that it holds.
    pub shards: i64,
    /// Remaining time of its lease, in seconds by the database's clock.
    pub lease_remaining: f64,
}

/// The live instances; the one with the most shards first.
pub async fn holders(
    connection: &mut Connection,
    queue: QueueName,
) -> Result<Vec<Holder>, StoreError> {
    Ok(Live { queue: &queue, alive: &true }.load(connection).await?)
}

/// Number of shards that no live instance holds.
pub async fn unheld(connection: &mut Connection, queue: QueueName) -> Result<i64, StoreError> {
    Ok(Count { queue: &queue, held: &false }.get_result(connection).await?)
}

/// The shards that an instance holds, and whether they exceed its fair share: the number of shards
/// divided by the number of live instances, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The held shards. Their leases last for the lease duration from the start of the call.
    pub held: Vec<HeldShard>,
    /// Whether the instance holds more than its fair share.
    pub has_surplus: bool,
}

/// Registers the instance as alive, renews all its leases for `lease_ms` milliseconds, and takes
/// free shards up to its fair share. Releases no shard, so records of the held shards may be in
/// flight.
pub async fn extend(
    connection: &mut Connection,
    queue: QueueName,
    holder: Uuid,
    lease_ms: i64,
) -> Result<Share, StoreError> {
    connection
        .transaction(async |connection| {
            let (queue, holder, lease_ms) = (&queue, &holder, &lease_ms);
            let fair_share = fair_share(connection, queue, holder, lease_ms).await?;
            let renew = Renew { queue, holder, lease_ms, limit: &i64::from(SHARDS) };
            let mut held = renew.load(connection).await?;
            let has_surplus = count(&held) > fair_share;
            take_up_to(connection, queue, holder, lease_ms, fair_share, &mut held).await?;
            Ok(Share { held, has_surplus })
        })
        .await
}

/// Like [`extend`], but releases the shards above the fair share. The caller must have no records
/// in flight. `latest_claim` is when the latest row that it has claimed was due; `None` for the
/// outbox, whose rows have no such time.
pub async fn share(
    connection: &mut Connection,
    queue: QueueName,
    holder: Uuid,
    lease_ms: i64,
    latest_claim: Option<DateTime<Utc>>,
) -> Result<Vec<HeldShard>, StoreError> {
    connection
        .transaction(async |connection| {
            let (queue, holder, lease_ms) = (&queue, &holder, &lease_ms);
            let fair_share = fair_share(connection, queue, holder, lease_ms).await?;
            let renew = Renew { queue, holder, lease_ms, limit: &fair_share };
            let mut held: Vec<HeldShard> = renew.load(connection).await?;
            let kept = held.iter().map(|held| held.shard).collect();
            give_back(connection, queue, holder, &kept, latest_claim).await?;
            take_up_to(connection, queue, holder, lease_ms, fair_share, &mut held).await?;
            Ok(held)
        })
        .await
}

async fn fair_share(
    connection: &mut Connection,
    queue: &QueueName,
    holder: &Uuid,
    lease_ms: &i64,
) -> Result<i64, StoreError> {
    let others: i64 = Heartbeat { queue, holder, lease_ms }.get_result(connection).await?;
    let instances = others + 1;
    Ok((i64::from(SHARDS) + instances - 1) / instances)
}

async fn take_up_to(
    connection: &mut Connection,
    queue: &QueueName,
    holder: &Uuid,
    lease_ms: &i64,
    fair_share: i64,
    held: &mut Vec<HeldShard>,
) -> Result<(), StoreError> {
    let wanted = fair_share - count(held);
    if wanted > 0 {
        let take = Take { queue, holder, lease_ms, wanted: &wanted };
        held.extend(take.load::<HeldShard>(connection).await?);
    }
    Ok(())
}

fn count(held: &[HeldShard]) -> i64 {
    i64::try_from(held.len()).unwrap_or(i64::MAX)
}

/// Releases all shards and unregisters the instance, so that others need not wait for the leases to
/// expire. The same as for [`share`] applies to the caller.
pub async fn release(
    connection: &mut Connection,
    queue: QueueName,
    holder: Uuid,
    latest_claim: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    connection
        .transaction(async |connection| {
            give_back(connection, &queue, &holder, &Vec::new(), latest_claim).await?;
            Leave { queue: &queue, holder: &holder }.execute(connection).await?;
            Ok(())
        })
        .await
}

/// Releases all shards except `kept`, and notifies the other instances.
async fn give_back(
    connection: &mut Connection,
    queue: &QueueName,
    holder: &Uuid,
    kept: &Vec<i16>,
    latest_claim: Option<DateTime<Utc>>,
) -> Result<(), StoreError> {
    if let (QueueName::Shipments, Some(latest)) = (queue, &latest_claim) {
        NoteClaims { holder, kept, latest }.execute(connection).await?;
    }
    let given_back = GiveBack { queue, holder, kept }.execute(connection).await?;
    if given_back > 0 {
        notify(connection, *queue, Notification::ShardsFree).await?;
    }
    Ok(())
}
