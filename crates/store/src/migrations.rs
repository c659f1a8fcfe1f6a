//! The migrations travel inside the binary; `salesctl migrate` is the one who runs them.

use diesel::pg::Pg;
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::{ExposeSecret, SecretString};

use crate::StoreError;
use crate::pool::{bad, connect, place_of};

/// The tables of sales-api, outbox-relay and status-consumer.
pub const SALES: MigrationSet =
    MigrationSet { schema: "sales", migrations: embed_migrations!("../../migrations/sales") };

/// The tables of delivery-service.
pub const DELIVERY: MigrationSet =
    MigrationSet { schema: "delivery", migrations: embed_migrations!("../../migrations/delivery") };

/// The migrations of one schema. Each schema keeps its own record of what was run, so that the two can live in
/// one database or in two.
pub struct MigrationSet {
    /// The schema that the tables are in.
    pub schema: &'static str,
    migrations: EmbeddedMigrations,
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
    /// A migration failed; the ones before it stay.
    #[error("a migration failed")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl MigrationSet {
    /// Brings the schema up to date and returns the names of the migrations that were run.
    ///
    /// Any number of processes may do this at once: they take turns by an advisory lock, which Postgres frees
    /// when the connection ends.
    pub async fn run(self, database_url: &SecretString) -> Result<Vec<String>, MigrateError> {
        let connected = async {
            connect(&database_url.expose_secret().parse().map_err(|error| bad(&error))?).await
        };
        let mut connection = connected
            .await
            .map_err(|source| MigrateError::Connection { place: place_of(database_url), source })?;
        let schema = self.schema;
        connection
            .batch_execute(&format!(
                "SELECT pg_advisory_lock(hashtext('migrate {schema}'));
                 SET client_min_messages = warning;
                 CREATE SCHEMA IF NOT EXISTS {schema};
                 SET search_path = {schema};"
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
            .map_err(MigrateError::Migration)
    }
}
