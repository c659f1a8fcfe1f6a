//! What keeps PostgreSQL from cleaning up. Vacuum cannot remove deleted rows while an open
//! transaction could still see them, so a queue table gets slower with every row that passed
//! through it. A replication slot retains the write-ahead log until it is read.

use diesel::QueryableByName;
use diesel::sql_types::Double;
use diesel_async::RunQueryDsl;

use crate::{Connection, StoreError};

/// How long each cause has blocked the cleanup, in seconds; 0 if it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, QueryableByName)]
pub struct HeldBack {
    /// The oldest open transaction in this database. Transactions of other roles are visible only
    /// with the rights of `pg_read_all_stats`.
    #[diesel(sql_type = Double)]
    pub transaction: f64,
    /// The oldest prepared transaction that was neither committed nor rolled back.
    #[diesel(sql_type = Double)]
    pub prepared_transaction: f64,
    /// The replication slot that has been inactive for the longest time; requires PostgreSQL 17.
    /// Does not include what a connected standby holds back through `hot_standby_feedback`.
    #[diesel(sql_type = Double)]
    pub replication_slot: f64,
}

impl HeldBack {
    /// Sets `database_held_back_seconds`.
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

/// Reads the current values.
pub async fn held_back(connection: &mut Connection) -> Result<HeldBack, StoreError> {
    Ok(diesel::sql_query(SQL).get_result(connection).await?)
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    // No glob import: the query builder's traits have methods with the same names as the test's
    // database.
    use super::held_back;

    #[tokio::test]
    async fn blocked_cleanup_is_reported_with_its_age() {
        let world = World::create().await;
        let store = world.store();
        let read = async || held_back(&mut store.connection().await.unwrap()).await.unwrap();
        let before = read().await;
        assert!(before.transaction < 1.0, "{before:?}");
        let open = world.database.begin("SELECT pg_sleep(1)").await;
        let held = read().await;
        assert!((1.0..30.0).contains(&held.transaction), "{held:?}");
        open.commit().await;
        assert!(read().await.transaction < 1.0);

        let slot = "SELECT pg_create_physical_replication_slot('idle')";
        world.database.execute(slot).await;
        world.database.execute("SELECT pg_sleep(1)").await;
        let held = read().await;
        world.database.execute("SELECT pg_drop_replication_slot('idle')").await;
        assert!((1.0..30.0).contains(&held.replication_slot), "{held:?}");
    }
}
