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
