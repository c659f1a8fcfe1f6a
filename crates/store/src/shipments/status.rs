//! The status of the due shipments.

use diesel::sql_types::{BigInt, Double};
use diesel_async::RunQueryDsl;

use super::refused::count_refused;
use crate::shards::{self, QueueName, QueueStatus, ShardStart, StartRows};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// Maximum number of due shipments of a shard that are counted.
const MOST_DUE: i64 = 160;

/// Maximum number of refused steps that are counted.
const MOST_REFUSED: i64 = 1_000;

statement! {
    struct Due { starts: StartRows, limit: i64 } -> (BigInt, BigInt, Double, Double);
    "SELECT count(*), count(*) FILTER (WHERE next_attempt_at > now()), coalesce(max(age), 0),
            coalesce(max(age) FILTER (WHERE next_attempt_at <= now()), 0)
     FROM " {starts} " AS h (shard, start)
     CROSS JOIN LATERAL (
         SELECT next_attempt_at, extract(epoch FROM now() - next_step_at)::float8 AS age FROM delivery.shipments s
         WHERE delivery.shard_of(s.order_id) = h.shard AND s.next_step_at <= now()
           AND s.next_step_at >= timestamptz 'epoch' + h.start * interval '1 microsecond'
         ORDER BY s.next_step_at LIMIT " {BigInt = limit} "
     ) d"
}

/// Reads the status of the shipments that are due now: the oldest ones of each of these shards, from
/// its start.
pub async fn status(
    connection: &mut Connection,
    starts: &[ShardStart],
) -> Result<QueueStatus, StoreError> {
    let starts = &StartRows::of(starts);
    let (events, deferred, oldest_age, oldest_claimable_age) =
        Due { starts, limit: &MOST_DUE }.get_result(connection).await?;
    let holders = shards::holders(connection, QueueName::Shipments).await?;
    Ok(QueueStatus {
        events,
        deferred,
        oldest_age,
        oldest_claimable_age,
        dead_letters: count_refused(connection, None, MOST_REFUSED).await?,
        holders: i64::try_from(holders.len()).unwrap_or(i64::MAX),
        unheld_shards: shards::unheld(connection, QueueName::Shipments).await?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::OrderId;
    use test_kit::World;

    use super::{Due, QueueStatus, status};
    use crate::shards::{ShardStart, StartRows};
    use crate::shipments::{NewShipment, insert};
    use crate::statement::plan_by_index;

    #[tokio::test(flavor = "multi_thread")]
    async fn only_due_shipments_count_as_overdue() {
        let world = World::create().await;
        let database = world.store();
        let mut connection = database.connection().await.unwrap();
        let nothing = QueueStatus { unheld_shards: 64, ..QueueStatus::default() };
        assert_eq!(status(&mut connection, &ShardStart::beginnings()).await.unwrap(), nothing);

        let hour = Duration::from_hours(1);
        let shipment = |delay| NewShipment {
            order_id: OrderId::generate(),
            delay,
            correlation_id: None,
            trace: None,
        };
        let new = [Duration::ZERO, Duration::ZERO, hour].map(shipment);
        insert(&mut connection, &new).await.unwrap();
        let deferred = new[0].order_id;
        world
            .database
            .execute(&format!(
                "UPDATE delivery.shipments SET next_step_at = next_step_at - interval '1 minute';
                 UPDATE delivery.shipments SET next_attempt_at = now() + interval '5 seconds',
                     next_step_at = next_step_at - interval '1 hour' WHERE order_id = '{deferred}'"
            ))
            .await;
        let status = status(&mut connection, &ShardStart::beginnings()).await.unwrap();
        assert_eq!((status.events, status.deferred), (2, 1));
        assert!((3660.0..3720.0).contains(&status.oldest_age), "{status:?}");
        assert!((60.0..120.0).contains(&status.oldest_claimable_age), "{status:?}");
    }

    #[tokio::test]
    async fn the_status_of_shipments_uses_the_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE delivery.shipments").await;
        let plan = plan_by_index(&world, &Due { starts: &StartRows::default(), limit: &160 }).await;
        assert!(plan.contains("Index Scan using shipments_by_shard on"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
    }
}
