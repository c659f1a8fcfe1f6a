//! The leases of relays on shards. All times are by the database's clock, so only one clock
//! matters.
//!
//! That clock can be set, and a failover replaces it. A lease whose end is more than twice its
//! length in the future counts as expired, so a clock change cannot make a lease last forever.

use diesel::Queryable;
use diesel::sql_types::{Array, BigInt, SmallInt, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use uuid::Uuid;

use super::SHARDS;
use super::wake::notify_free_shards;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shard that a relay holds, with the fencing token of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable)]
pub struct HeldShard {
    /// The shard.
    pub shard: i16,
    /// The fencing token. It grows with each new lease of the shard; a write with an older token
    /// changes nothing.
    pub token: i64,
}

statement! {
    /// Counts the other live relays, and deletes relays whose lease has expired. Skips rows that
    /// another relay is deleting: after an outage all relays run this at the same time.
    struct Heartbeat { relay: Uuid, lease_ms: i64 } -> BigInt;
    "WITH gone AS (
         DELETE FROM sales.outbox_relays WHERE relay_id IN (
             SELECT relay_id FROM sales.outbox_relays
             WHERE relay_id <> " {SqlUuid = relay} "
               AND NOT sales.lease_lasts(lease_until, coalesce(lease_ms, " {BigInt = lease_ms} "))
             FOR UPDATE SKIP LOCKED)
     ),
     alive AS (
         INSERT INTO sales.outbox_relays (relay_id, lease_until, lease_ms)
         VALUES (" {SqlUuid = relay} ", now() + " {BigInt = lease_ms} " * interval '1 millisecond', " {BigInt = lease_ms} ")
         ON CONFLICT (relay_id) DO UPDATE SET lease_until = excluded.lease_until, lease_ms = excluded.lease_ms
     )
     SELECT count(*) FROM sales.outbox_relays
     WHERE relay_id <> " {SqlUuid = relay} "
       AND sales.lease_lasts(lease_until, coalesce(lease_ms, " {BigInt = lease_ms} "))"
}

statement! {
    /// Also renews a lease that has expired, if no other relay has taken the shard.
    struct Renew { relay: Uuid, lease_ms: i64, limit: i64 } -> (SmallInt, BigInt);
    "UPDATE sales.outbox_shards
     SET lease_until = now() + " {BigInt = lease_ms} " * interval '1 millisecond', lease_ms = " {BigInt = lease_ms} "
     WHERE shard IN (
         SELECT shard FROM sales.outbox_shards WHERE owner = " {SqlUuid = relay} "
         ORDER BY shard LIMIT " {BigInt = limit} " FOR UPDATE)
     RETURNING shard, token"
}

statement! {
    struct GiveBack { relay: Uuid, kept: Vec<i16> } -> ();
    "UPDATE sales.outbox_shards SET owner = NULL, lease_until = '-infinity'
     WHERE owner = " {SqlUuid = relay} " AND NOT shard = ANY(" {Array<SmallInt> = kept} ")"
}

statement! {
    /// Skips rows that another relay has locked, so that relays never wait for each other.
    struct Take { relay: Uuid, lease_ms: i64, wanted: i64 } -> (SmallInt, BigInt);
    "UPDATE sales.outbox_shards
     SET owner = " {SqlUuid = relay} ", token = token + 1, lease_ms = " {BigInt = lease_ms} ",
         lease_until = now() + " {BigInt = lease_ms} " * interval '1 millisecond'
     WHERE shard IN (
         SELECT shard FROM sales.outbox_shards
         WHERE owner IS DISTINCT FROM " {SqlUuid = relay} "
           AND NOT sales.lease_lasts(lease_until, coalesce(lease_ms, " {BigInt = lease_ms} "))
         ORDER BY shard LIMIT " {BigInt = wanted} " FOR UPDATE SKIP LOCKED)
     RETURNING shard, token"
}

statement! {
    struct Leave { relay: Uuid } -> ();
    "DELETE FROM sales.outbox_relays WHERE relay_id = " {SqlUuid = relay} ""
}

/// The shards that a relay holds, and whether they exceed its fair share: the number of shards
/// divided by the number of live relays, rounded up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The held shards. Their leases last for the lease duration from the start of the call.
    pub held: Vec<HeldShard>,
    /// Whether the relay holds more than its fair share.
    pub has_surplus: bool,
}

/// Registers the relay as alive, renews all its leases for `lease_ms` milliseconds, and takes free
/// shards up to its fair share. Releases no shard, so records of the held shards may be in flight.
pub async fn extend(
    connection: &mut Connection,
    relay: Uuid,
    lease_ms: i64,
) -> Result<Share, StoreError> {
    connection
        .transaction(async |connection| {
            let (relay, lease_ms) = (&relay, &lease_ms);
            let fair_share = fair_share(connection, relay, lease_ms).await?;
            let mut held =
                Renew { relay, lease_ms, limit: &i64::from(SHARDS) }.load(connection).await?;
            let has_surplus = count(&held) > fair_share;
            take_up_to(connection, relay, lease_ms, fair_share, &mut held).await?;
            Ok(Share { held, has_surplus })
        })
        .await
}

/// Like [`extend`], but releases the shards above the fair share. The caller must have no records
/// in flight.
pub async fn share(
    connection: &mut Connection,
    relay: Uuid,
    lease_ms: i64,
) -> Result<Vec<HeldShard>, StoreError> {
    connection
        .transaction(async |connection| {
            let (relay, lease_ms) = (&relay, &lease_ms);
            let fair_share = fair_share(connection, relay, lease_ms).await?;
            let mut held: Vec<HeldShard> =
                Renew { relay, lease_ms, limit: &fair_share }.load(connection).await?;
            let kept: Vec<i16> = held.iter().map(|held| held.shard).collect();
            give_back(connection, relay, &kept).await?;
            take_up_to(connection, relay, lease_ms, fair_share, &mut held).await?;
            Ok(held)
        })
        .await
}

async fn fair_share(
    connection: &mut Connection,
    relay: &Uuid,
    lease_ms: &i64,
) -> Result<i64, StoreError> {
    let others: i64 = Heartbeat { relay, lease_ms }.get_result(connection).await?;
    let relays = others + 1;
    Ok((i64::from(SHARDS) + relays - 1) / relays)
}

async fn take_up_to(
    connection: &mut Connection,
    relay: &Uuid,
    lease_ms: &i64,
    fair_share: i64,
    held: &mut Vec<HeldShard>,
) -> Result<(), StoreError> {
    let wanted = fair_share - count(held);
    if wanted > 0 {
        let take = Take { relay, lease_ms, wanted: &wanted };
        held.extend(take.load::<HeldShard>(connection).await?);
    }
    Ok(())
}

fn count(held: &[HeldShard]) -> i64 {
    i64::try_from(held.len()).unwrap_or(i64::MAX)
}

/// Releases all shards and unregisters the relay, so that other relays need not wait for the leases
/// to expire.
pub async fn release(connection: &mut Connection, relay: Uuid) -> Result<(), StoreError> {
    connection
        .transaction(async |connection| {
            give_back(connection, &relay, &Vec::new()).await?;
            Leave { relay: &relay }.execute(connection).await?;
            Ok(())
        })
        .await
}

/// Releases all shards except `kept`, and notifies the other relays.
async fn give_back(
    connection: &mut Connection,
    relay: &Uuid,
    kept: &Vec<i16>,
) -> Result<(), StoreError> {
    let given_back = GiveBack { relay, kept }.execute(connection).await?;
    if given_back > 0 {
        notify_free_shards(connection).await?;
    }
    Ok(())
}
