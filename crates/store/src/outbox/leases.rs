//! Which relay carries which shards. All times are the database's own, so that no clock but one counts.

use diesel::sql_types::{Array, BigInt, SmallInt, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use uuid::Uuid;

use super::SHARDS;
use super::wake::tell_of_free_shards;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shard that a relay holds, with the fencing token of its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldShard {
    /// The shard.
    pub shard: i16,
    /// Grows with every change of hands; a mark with an older one changes nothing.
    pub token: i64,
}

statement! {
    /// Counts the others, and forgets those that ended without a word. Rows that another relay is forgetting are
    /// skipped: after an outage all of them meet here.
    struct Heartbeat { relay: Uuid, lease_ms: i64 } -> BigInt;
    "WITH gone AS (
         DELETE FROM sales.outbox_relays WHERE relay_id IN (
             SELECT relay_id FROM sales.outbox_relays
             WHERE lease_until < now() AND relay_id <> " {SqlUuid = relay} " FOR UPDATE SKIP LOCKED)
     ),
     alive AS (
         INSERT INTO sales.outbox_relays (relay_id, lease_until)
         VALUES (" {SqlUuid = relay} ", now() + " {BigInt = lease_ms} " * interval '1 millisecond')
         ON CONFLICT (relay_id) DO UPDATE SET lease_until = excluded.lease_until
     )
     SELECT count(*) FROM sales.outbox_relays WHERE lease_until >= now() AND relay_id <> " {SqlUuid = relay} ""
}

statement! {
    /// A lease that ran out but was taken by nobody is as good as new.
    struct Renew { relay: Uuid, lease_ms: i64, fair_share: i64 } -> (SmallInt, BigInt);
    "UPDATE sales.outbox_shards
     SET lease_until = now() + " {BigInt = lease_ms} " * interval '1 millisecond'
     WHERE shard IN (
         SELECT shard FROM sales.outbox_shards WHERE owner = " {SqlUuid = relay} "
         ORDER BY shard LIMIT " {BigInt = fair_share} " FOR UPDATE)
     RETURNING shard, token"
}

statement! {
    struct GiveBack { relay: Uuid, kept: Vec<i16> } -> ();
    "UPDATE sales.outbox_shards SET owner = NULL, lease_until = '-infinity'
     WHERE owner = " {SqlUuid = relay} " AND NOT shard = ANY(" {Array<SmallInt> = kept} ")"
}

statement! {
    /// Rows that another relay is looking at are skipped, so that two never wait for each other.
    struct Take { relay: Uuid, lease_ms: i64, wanted: i64 } -> (SmallInt, BigInt);
    "UPDATE sales.outbox_shards
     SET owner = " {SqlUuid = relay} ", token = token + 1,
         lease_until = now() + " {BigInt = lease_ms} " * interval '1 millisecond'
     WHERE shard IN (
         SELECT shard FROM sales.outbox_shards WHERE lease_until < now()
         ORDER BY shard LIMIT " {BigInt = wanted} " FOR UPDATE SKIP LOCKED)
     RETURNING shard, token"
}

statement! {
    struct Leave { relay: Uuid } -> ();
    "DELETE FROM sales.outbox_relays WHERE relay_id = " {SqlUuid = relay} ""
}

/// Says that a relay is alive, renews what it holds, and moves it towards its fair share: the number of shards
/// divided by the number of live relays. Surplus is given back; what is free or has run out is taken.
///
/// Returns everything that the relay now holds, each for `lease_ms` milliseconds from the start of this call. The
/// caller must have nothing in flight for a shard that it may give back.
pub async fn share(
    connection: &mut Connection,
    relay: Uuid,
    lease_ms: i64,
) -> Result<Vec<HeldShard>, StoreError> {
    connection
        .transaction(async |connection| {
            let (relay, lease_ms) = (&relay, &lease_ms);
            let others: i64 = Heartbeat { relay, lease_ms }.get_result(connection).await?;
            let relays = others + 1;
            let fair_share = (i64::from(SHARDS) + relays - 1) / relays;
            let mut held: Vec<(i16, i64)> =
                Renew { relay, lease_ms, fair_share: &fair_share }.load(connection).await?;
            let kept: Vec<i16> = held.iter().map(|(shard, _)| *shard).collect();
            give_back(connection, relay, &kept).await?;
            let wanted = fair_share - i64::try_from(held.len()).unwrap_or(fair_share);
            if wanted > 0 {
                held.extend(
                    Take { relay, lease_ms, wanted: &wanted }
                        .load::<(i16, i64)>(connection)
                        .await?,
                );
            }
            Ok(held.into_iter().map(|(shard, token)| HeldShard { shard, token }).collect())
        })
        .await
}

/// Gives everything back at once, so that others need not wait for the leases to run out.
pub async fn release(connection: &mut Connection, relay: Uuid) -> Result<(), StoreError> {
    connection
        .transaction(async |connection| {
            give_back(connection, &relay, &Vec::new()).await?;
            Leave { relay: &relay }.execute(connection).await?;
            Ok(())
        })
        .await
}

/// All but these, and the others hear of it.
async fn give_back(
    connection: &mut Connection,
    relay: &Uuid,
    kept: &Vec<i16>,
) -> Result<(), StoreError> {
    let given_back = GiveBack { relay, kept }.execute(connection).await?;
    if given_back > 0 {
        tell_of_free_shards(connection).await?;
    }
    Ok(())
}
