//! The migrations travel inside the binary; `salesctl migrate` is the one who runs them.

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

/// The longest that a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long requests may be held up by a migration that cannot get at its table.
const LOCK_TIMEOUT: &str = "2s";

/// Between two looks whether it is this process' turn.
const BETWEEN_TURNS: Duration = Duration::from_millis(100);

/// What is left of an index that was built concurrently by a migration which was interrupted, and begins again.
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

/// What the roles of every schema begin with.
const PREPARE_ROLES: &str = include_str!("../../../migrations/roles/prepare.sql");

/// The migrations of one schema. Each schema keeps its own record of what was run, so that the two can live in
/// one database or in two.
pub struct MigrationSet {
    /// The schema that the tables are in.
    pub schema: &'static str,
    migrations: EmbeddedMigrations,
    roles: &'static str,
}

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached; trying again can help.
    #[error("no connection to the database {place}")]
    Connection {
        /// Host, port and name of the database.
        place: String,
        /// Why not.
        #[source]
        source: diesel::ConnectionError,
    },
    /// The preparation failed.
    #[error("the schema cannot be prepared")]
    Prepare(#[from] StoreError),
    /// Somebody uses a table that a migration changes, and for longer than the others may be made to wait for it; trying
    /// again can help. The migrations before it stay.
    #[error("a migration waits for a statement that holds its table")]
    Locked(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A migration failed; the ones before it stay.
    #[error("a migration failed")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The roles were left as they were.
    #[error("the roles cannot be prepared")]
    Roles(#[source] StoreError),
}

impl MigrateError {
    fn of_migration(error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        // Diesel keeps the server's words and drops its code. In another language it is a failure like any other.
        if error.to_string().contains("lock timeout") {
            Self::Locked(error)
        } else {
            Self::Migration(error)
        }
    }
}

impl MigrationSet {
    /// Brings the schema up to date and returns the names of the migrations that were run.
    ///
    /// Any number of processes may do this at once: they take turns by an advisory lock, which Postgres frees
    /// when the connection ends. A migration that waits for a table makes everybody wait who comes after it, so it gives
    /// up after [`LOCK_TIMEOUT`].
    pub async fn run(
        self,
        database_url: &DatabaseUrl,
        ca: Option<&CaFile>,
    ) -> Result<Vec<String>, MigrateError> {
        let mut connection = self.take_turn(database_url, ca).await?;
        let schema = self.schema;
        connection
            .batch_execute(&format!(
                "CREATE SCHEMA IF NOT EXISTS {schema}; SET search_path = {schema};
                 SET lock_timeout = '{LOCK_TIMEOUT}';
                 {DROP_UNFINISHED_INDEXES}"
            ))
            .await
            .map_err(StoreError::from)?;
        // The harness blocks, so it runs where blocking is allowed.
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

    /// Makes the roles of the services that are missing, and gives each the rights that it needs in this schema, which
    /// is up to date, and no others.
    pub async fn grant(
        self,
        database_url: &DatabaseUrl,
        ca: Option<&CaFile>,
    ) -> Result<(), MigrateError> {
        let mut connection = self.take_turn(database_url, ca).await?;
        let roles = self.roles;
        connection
            .transaction(async |connection| {
                connection.batch_execute(PREPARE_ROLES).await?;
                connection.batch_execute(roles).await
            })
            .await
            .map_err(|error| MigrateError::Roles(error.into()))
    }

    /// A connection that no other process has of its kind.
    async fn take_turn(
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
        // A statement that waits for the lock would hold up an index that is built concurrently under it.
        while !(TryLock { name: &name }
            .get_result(&mut connection)
            .await
            .map_err(StoreError::from)?)
        {
            tokio::time::sleep(BETWEEN_TURNS).await;
        }
        Ok(connection)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use test_kit::World;

    /// Why a migration would hold up a table for as long as it looks at all of it. What a migration makes itself is empty.
    fn faults(sql: &str) -> Vec<String> {
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
            let says = |words: &str| statement.contains(words);
            let alters = says("ALTER TABLE ");
            let adds_rule = says("ADD CHECK")
                || says("ADD CONSTRAINT")
                || says("ADD FOREIGN")
                || says("ADD UNIQUE")
                || says("ADD PRIMARY")
                || (says("ADD COLUMN") && says("REFERENCES"));
            let rewrites = says(" TYPE ") || says("GENERATED") || says("RANDOM") || says("UUID(");
            (alters && adds_rule && !says("NOT VALID"))
                || (alters && (says("SET NOT NULL") || rewrites))
                || (says("CREATE INDEX") || says("CREATE UNIQUE INDEX")) && !says("CONCURRENTLY")
                || says("REINDEX") && !says("CONCURRENTLY")
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
    fn no_migration_holds_up_a_table_that_has_rows() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
        let mut read = 0;
        for schema in ["sales", "delivery"] {
            for migration in fs::read_dir(folder.join(schema)).unwrap() {
                let migration = migration.unwrap();
                // What it does is for databases from before the first release.
                if migration.file_name() == "2026-11-29-000008_byte_order" {
                    continue;
                }
                let sql = fs::read_to_string(migration.path().join("up.sql")).unwrap();
                assert_eq!(faults(&sql), Vec::<String>::new(), "{}", migration.path().display());
                read += 1;
            }
        }
        assert!(read >= 11);
    }

    #[test]
    fn what_would_hold_up_a_table_is_found() {
        for long in [
            "CREATE INDEX a ON sales.orders (id)",
            "CREATE UNIQUE INDEX a ON sales.orders (id)",
            "ALTER TABLE sales.orders ADD CHECK (owner <> '')",
            "ALTER TABLE sales.orders ADD CONSTRAINT a CHECK (owner <> '')",
            "ALTER TABLE sales.orders ALTER COLUMN owner TYPE text",
            "ALTER TABLE sales.orders ALTER COLUMN owner SET NOT NULL",
            "ALTER TABLE sales.orders ADD COLUMN a uuid DEFAULT gen_random_uuid()",
            "UPDATE sales.orders SET owner = ''",
            "CREATE TABLE sales.a (id uuid); CREATE INDEX b ON sales.orders (id)",
        ] {
            assert_eq!(faults(long).len(), 1, "{long}");
        }
        for short in [
            "CREATE TABLE sales.a (id uuid); CREATE INDEX b ON sales.a (id)",
            "CREATE INDEX CONCURRENTLY a ON sales.orders (id) -- CREATE INDEX",
            "ALTER TABLE sales.orders ADD COLUMN a bigint NOT NULL DEFAULT 0",
            "ALTER TABLE sales.orders ADD CONSTRAINT a CHECK (owner <> '') NOT VALID",
            "ALTER TABLE sales.orders VALIDATE CONSTRAINT a",
        ] {
            assert_eq!(faults(short), Vec::<String>::new(), "{short}");
        }
    }

    #[tokio::test]
    async fn no_index_depends_on_the_order_of_a_language() {
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
