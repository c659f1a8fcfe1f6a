//! The migrations, which are embedded in the binary. `salesctl migrate` runs them.

use std::time::Duration;

use diesel::pg::Pg;
use diesel::sql_types::{Bool, Text};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use service_kit::credentials::CaFile;

use crate::connect::Connector;
use crate::statement::statement;
use crate::{Connection, DatabaseUrl, StoreError};

/// The tables of sales-api, outbox-relay and status-consumer.
pub const SALES: MigrationSet = MigrationSet {
    schema: "sales",
    migrations: embed_migrations!("../../migrations/sales"),
    roles: include_str!("../../../migrations/roles/sales.sql"),
};

/// The tables of delivery-service.
pub const DELIVERY: MigrationSet = MigrationSet {
    schema: "delivery",
    migrations: embed_migrations!("../../migrations/delivery"),
    roles: include_str!("../../../migrations/roles/delivery.sql"),
};

/// Maximum duration of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum wait of a migration for a table lock. Requests queue behind the waiting migration.
const LOCK_TIMEOUT: &str = "2s";

/// Interval between attempts to get the advisory lock.
const LOCK_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Drops the invalid indexes that an interrupted `CREATE INDEX CONCURRENTLY` left. Its migration
/// runs again.
const DROP_UNFINISHED_INDEXES: &str = "DO $$
    DECLARE unfinished regclass;
    BEGIN
        FOR unfinished IN
            SELECT c.oid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            WHERE NOT i.indisvalid AND c.relnamespace = current_schema::regnamespace
        LOOP EXECUTE format('DROP INDEX %s', unfinished); END LOOP;
    END $$";

statement! {
    struct TryLock { name: str } -> Bool;
    "SELECT pg_try_advisory_lock(hashtext(" {Text = name} "))"
}

/// Defines the functions that the role scripts of both schemas call.
const PREPARE_ROLES: &str = include_str!("../../../migrations/roles/prepare.sql");

/// The migrations of one schema. Each schema records its own applied migrations, so the two schemas
/// can be in one database or in two.
pub struct MigrationSet {
    /// The schema of the tables.
    pub schema: &'static str,
    migrations: EmbeddedMigrations,
    roles: &'static str,
}

/// Why the migrations or the roles of a schema could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached. A retry can succeed.
    #[error("cannot connect to the database {place}")]
    Connection {
        /// Host, port and name of the database.
        place: String,
        /// The cause.
        #[source]
        source: diesel::ConnectionError,
    },
    /// A statement before the first migration failed.
    #[error("cannot prepare the schema")]
    Prepare(#[from] StoreError),
    /// A migration did not get a table lock in time, because another transaction uses the table. A
    /// retry can succeed. The migrations before it stay applied.
    #[error("a migration could not lock its table in time; retry later")]
    Locked(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A migration failed. The migrations before it stay applied.
    #[error("a migration failed")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The roles and their rights are unchanged.
    #[error("cannot prepare the roles")]
    Roles(#[source] StoreError),
}

impl MigrateError {
    fn of_migration(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        // Diesel drops the SQLSTATE and keeps only the message. If the server's messages are not in
        // English, a lock timeout counts as `Migration`.
        if error.to_string().contains("lock timeout") {
            Self::Locked(error)
        } else {
            Self::Migration(error)
        }
    }
}

impl MigrationSet {
    /// Runs the pending migrations and returns their names.
    ///
    /// Any number of processes may call this concurrently. An advisory lock serializes them;
    /// PostgreSQL releases it when the connection ends. A migration that waits for a table lock
    /// blocks every later statement on that table, so it fails after [`LOCK_TIMEOUT`].
    pub async fn run(
        self,
        database_url: &DatabaseUrl,
        ca: Option<&CaFile>,
    ) -> Result<Vec<String>, MigrateError> {
        let mut connection = self.connect_and_lock(database_url, ca).await?;
        let schema = self.schema;
        connection
            .batch_execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema};
                 SET lock_timeout = '{LOCK_TIMEOUT}';
                 {DROP_UNFINISHED_INDEXES}"
            ))
            .await
            .map_err(StoreError::from)?;
        // The harness blocks its thread.
        let migrated = tokio::task::spawn_blocking(move || {
            let mut harness = AsyncMigrationHarness::new(connection);
            let run =
                MigrationHarness::<Pg>::run_pending_migrations(&mut harness, self.migrations)?;
            Ok(run.iter().map(ToString::to_string).collect())
        });
        migrated
            .await
            .map_err(|error| MigrateError::Migration(error.into()))?
            .map_err(MigrateError::of_migration)
    }

    /// Creates the missing roles of the services, and gives each role exactly the rights that it
    /// needs in this schema. The schema must be up to date.
    pub async fn grant(
        self,
        database_url: &DatabaseUrl,
        ca: Option<&CaFile>,
    ) -> Result<(), MigrateError> {
        let mut connection = self.connect_and_lock(database_url, ca).await?;
        let roles = self.roles;
        connection
            .transaction(async |connection| {
                connection.batch_execute(PREPARE_ROLES).await?;
                connection.batch_execute(roles).await
            })
            .await
            .map_err(|error| MigrateError::Roles(error.into()))
    }

    /// Connects and takes the schema's advisory lock, so that one process at a time migrates it.
    async fn connect_and_lock(
        &self,
        url: &DatabaseUrl,
        ca: Option<&CaFile>,
    ) -> Result<Connection, MigrateError> {
        let connected = Connector::new(url, ca, CONNECT_TIMEOUT).connect().await;
        let place = || url.place().to_string();
        let mut connection =
            connected.map_err(|source| MigrateError::Connection { place: place(), source })?;
        let quiet = "SET client_min_messages = warning";
        connection.batch_execute(quiet).await.map_err(StoreError::from)?;
        let name = format!("migrate {}", self.schema);
        // Polls: a blocked `pg_advisory_lock` would hold a snapshot, and a concurrent index build
        // by the lock's holder would wait for that snapshot.
        while !(TryLock { name: &name }
            .get_result(&mut connection)
            .await
            .map_err(StoreError::from)?)
        {
            tokio::time::sleep(LOCK_RETRY_INTERVAL).await;
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use test_kit::World;

    /// The statements that lock a table while they read or rewrite all its rows. A table that the
    /// migration itself creates is empty, so its statements do not count.
    fn long_locks(sql: &str) -> Vec<String> {
        let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
        let text = lines.collect::<Vec<_>>().join(" ").to_uppercase();
        let statements: Vec<String> = text
            .split(';')
            .map(|statement| statement.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        let made: Vec<&str> = statements
            .iter()
            .filter_map(|it| it.strip_prefix("CREATE TABLE ")?.split([' ', '(']).next())
            .collect();
        let is_long = |statement: &&String| {
            let contains = |words: &str| statement.contains(words);
            let alters = contains("ALTER TABLE ");
            let adds_rule = contains("ADD CHECK")
                || contains("ADD CONSTRAINT")
                || contains("ADD FOREIGN")
                || contains("ADD UNIQUE")
                || contains("ADD PRIMARY")
                || (contains("ADD COLUMN") && contains("REFERENCES"));
            // Its check cannot be NOT VALID.
            let adds_checked_column = statement.split(", ADD ").any(|clause| {
                (clause.contains("ADD COLUMN ") || clause.starts_with("COLUMN "))
                    && clause.contains(" CHECK (")
            });
            let rewrites = contains(" TYPE ")
                || (contains("ADD COLUMN") && contains("GENERATED"))
                || contains("RANDOM")
                || contains("UUID(");
            (alters && adds_rule && !contains("NOT VALID"))
                || (alters && (contains("SET NOT NULL") || rewrites || adds_checked_column))
                || (contains("CREATE INDEX") || contains("CREATE UNIQUE INDEX"))
                    && !contains("CONCURRENTLY")
                || contains("REINDEX") && !contains("CONCURRENTLY")
                || statement.starts_with("UPDATE ")
                || statement.starts_with("CLUSTER")
                || statement.starts_with("VACUUM FULL")
                || statement.starts_with("LOCK ")
        };
        let of_new_table =
            |statement: &str| made.iter().any(|table| statement.contains(&format!("{table} ")));
        let long = statements.iter().filter(is_long);
        long.filter(|statement| !of_new_table(statement)).cloned().collect()
    }

    #[test]
    fn no_migration_locks_a_table_with_rows_for_long() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let mut read = 0;
        for schema in ["sales", "delivery"] {
            for migration in fs::read_dir(folder.join(schema)).unwrap() {
                let migration = migration.unwrap();
                // It rewrites tables, but only in databases from before the first release.
                if migration.file_name() == "2026-11-29-000008_byte_order" {
                    continue;
                }
                let sql = fs::read_to_string(migration.path().join("up.sql")).unwrap();
                assert_eq!(
                    long_locks(&sql),
                    Vec::<String>::new(),
                    "{}",
                    migration.path().display()
                );
                read += 1;
            }
        }
        assert!(read >= 11);
    }

    #[test]
    fn long_table_locks_are_detected() {
        for long in [
            "CREATE INDEX a ON sales.orders (id)",
            "CREATE UNIQUE INDEX a ON sales.orders (id)",
            "ALTER TABLE sales.orders ADD CHECK (owner <> '')",
            "ALTER TABLE sales.orders ADD CONSTRAINT a CHECK (owner <> '')",
            "ALTER TABLE sales.orders ADD COLUMN a text CHECK (a <> '')",
            "ALTER TABLE sales.orders ADD COLUMN a text CHECK (a <> ''), ADD CHECK (b <> '') NOT VALID",
            "ALTER TABLE sales.orders ALTER COLUMN owner TYPE text",
            "ALTER TABLE sales.orders ALTER COLUMN owner SET NOT NULL",
            "ALTER TABLE sales.orders ADD COLUMN a uuid DEFAULT gen_random_uuid()",
            "ALTER TABLE sales.orders ADD COLUMN a bigint GENERATED ALWAYS AS IDENTITY",
            "UPDATE sales.orders SET owner = ''",
            "CREATE TABLE sales.a (id uuid); CREATE INDEX b ON sales.orders (id)",
        ] {
            assert_eq!(long_locks(long).len(), 1, "{long}");
        }
        for short in [
            "CREATE TABLE sales.a (id uuid); CREATE INDEX b ON sales.a (id)",
            "CREATE INDEX CONCURRENTLY a ON sales.orders (id) -- CREATE INDEX",
            "ALTER TABLE sales.orders ADD COLUMN a bigint NOT NULL DEFAULT 0",
            "ALTER TABLE sales.orders ADD CONSTRAINT a CHECK (owner <> '') NOT VALID",
            "ALTER TABLE sales.orders VALIDATE CONSTRAINT a",
            "ALTER TABLE sales.orders ALTER COLUMN a ADD GENERATED ALWAYS AS IDENTITY",
        ] {
            assert_eq!(long_locks(short), Vec::<String>::new(), "{short}");
        }
    }

    #[tokio::test]
    async fn every_index_uses_byte_order() {
        let world = World::create().await;
        let indexes = "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
            CROSS JOIN UNNEST(i.indcollation) AS its (collation_id)
            WHERE c.relnamespace IN ('sales'::regnamespace, 'delivery'::regnamespace)
                AND c.relname NOT LIKE '%diesel%' AND its.collation_id ";
        assert!(world.database.count(&format!("{indexes} = '\"C\"'::regcollation")).await > 0);
        let by_language = format!("{indexes} NOT IN (0, '\"C\"'::regcollation)");
        assert_eq!(world.database.count(&by_language).await, 0);
    }
}
