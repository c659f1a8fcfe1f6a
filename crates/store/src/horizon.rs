//! What keeps Postgres from cleaning up. As long as somebody could still see deleted rows, vacuum leaves them, and a queue
//! gets slower by all that has passed through it; and the write-ahead log is kept for a replication slot until it is read.

use diesel::QueryableByName;
use diesel::sql_types::Double;
use diesel_async::RunQueryDsl;

use crate::{Connection, StoreError};

/// For how long something has kept it from that, in seconds; 0 where nothing does.
#[derive(Clone, Copy, Debug, Default, PartialEq, QueryableByName)]
pub struct HeldBack {
    /// The oldest transaction of this database that is open. Those of other roles are seen with the rights of
    /// `pg_read_all_stats` alone.
    #[diesel(sql_type = Double)]
    pub transaction: f64,
    /// The oldest transaction that was prepared and neither committed nor rolled back.
    #[diesel(sql_type = Double)]
    pub prepared_transaction: f64,
    /// The replication slot that was not read for the longest time; known from Postgres 17 on. What a standby that reads its
    /// slot holds back by `hot_standby_feedback` is not seen.
    #[diesel(sql_type = Double)]
    pub replication_slot: f64,
}

impl HeldBack {
    /// Sets the metrics.
    pub fn show(self) {
        for (by, seconds) in [
            ("transaction", self.transaction),
            ("prepared-transaction", self.prepared_transaction),
            ("replication-slot", self.replication_slot),
        ] {
            metrics::gauge!("database_held_back_seconds", "by" => by).set(seconds);
        }
    }
}

const SQL: &str = "SELECT
    coalesce((
        SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend'
    ), 0)::float8 AS transaction,
    coalesce((
        SELECT max(extract(epoch FROM clock_timestamp() - prepared)) FROM pg_prepared_xacts
        WHERE database = current_database()
    ), 0)::float8 AS prepared_transaction,
    coalesce((
        SELECT max(extract(epoch FROM clock_timestamp() - (to_jsonb(s) ->> 'inactive_since')::timestamptz))
        FROM pg_replication_slots s WHERE NOT active
    ), 0)::float8 AS replication_slot";

/// Looks at what there is now.
pub async fn held_back(connection: &mut Connection) -> Result<HeldBack, StoreError> {
    Ok(diesel::sql_query(SQL).get_result(connection).await?)
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    // Not all of it: the traits of the query builder have methods of the same names as the test's database.
    use super::held_back;

    #[tokio::test]
    async fn what_keeps_postgres_from_cleaning_up_is_told_with_its_age() {
        let world = World::create().await;
        let store = world.store();
        let look = async || held_back(&mut store.connection().await.unwrap()).await.unwrap();
        let before = look().await;
        assert!(before.transaction < 1.0, "{before:?}");
        let open = world.database.begin("SELECT pg_sleep(1)").await;
        let held = look().await;
        assert!((1.0..30.0).contains(&held.transaction), "{held:?}");
        open.commit().await;
        assert!(look().await.transaction < 1.0);

        let slot = "SELECT pg_create_physical_replication_slot('idle')";
        world.database.execute(slot).await;
        world.database.execute("SELECT pg_sleep(1)").await;
        let held = look().await;
        world.database.execute("SELECT pg_drop_replication_slot('idle')").await;
        assert!((1.0..30.0).contains(&held.replication_slot), "{held:?}");
    }
}
