//! Pools of PostgreSQL connections. Connections open on demand; their number and the wait for one
//! are limited.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as StdInstant};

use conf::Conf;
use deadpool::Runtime;
use diesel::ConnectionError;
use diesel::dsl::sql;
use diesel::sql_types::Bool;
use diesel_async::pooled_connection::deadpool::{Hook, HookError, Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use service_kit::config::{timeout_millis, within};
use service_kit::credentials::CaFile;
use service_kit::health::ProbeFuture;
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::connect::Connector;
use crate::{DatabaseUrl, StoreError, pool_metrics};

/// A connection to PostgreSQL.
pub type Connection = AsyncPgConnection;
/// A connection that returns to its pool when it is dropped.
pub type PooledConnection = Object<AsyncPgConnection>;

/// Connection settings of a service's database.
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = DatabaseSettings::check)]
pub struct DatabaseSettings {
    /// PostgreSQL URL of the service's database, such as
    /// `postgres://user:password@host:5432/database?sslmode=require`
    #[conf(env, secret, value_parser = DatabaseUrl::parse)]
    pub database_url: DatabaseUrl,

    /// Path of a PEM file with the CA certificates to trust for PostgreSQL; the system's
    /// certificates when unset
    #[conf(env, value_parser = CaFile::read)]
    pub database_ca_file: Option<CaFile>,

    /// Maximum number of pooled connections of one instance
    #[conf(env, default_value = "8", value_parser = within(1..=1000))]
    pub database_pool_size: usize,

    /// Maximum wait for a pooled or a new connection, in milliseconds
    #[conf(env, default_value = "1500", value_parser = timeout_millis)]
    pub database_connect_timeout: Duration,

    /// Maximum duration of one statement, in milliseconds
    #[conf(env, default_value = "5000", value_parser = timeout_millis)]
    pub database_statement_timeout: Duration,
}

impl DatabaseSettings {
    /// The same database, with another number of connections.
    #[must_use]
    pub fn with_pool_size(&self, database_pool_size: usize) -> Self {
        Self { database_pool_size, ..self.clone() }
    }

    /// The maximum time of one statement, with the wait for its connection.
    pub fn longest_statement(&self) -> Duration {
        self.database_connect_timeout + self.database_statement_timeout
    }

    fn check(&self) -> Result<(), String> {
        let checked = self.database_url.check_ca(self.database_ca_file.as_ref());
        checked.map_err(|fault| format!("DATABASE_URL {fault}"))
    }
}

/// Age at which a connection is replaced, so that a moved primary or a changed password takes
/// effect.
const MAX_AGE: Duration = Duration::from_mins(30);

/// A connection is closed if its peer leaves sent data or keepalives unacknowledged for this long.
/// A peer that vanished sends no error.
const DEAD_PEER: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(5);

/// The planner setting of every connection. Pages are in the order of an index that the planner can
/// use, but to sort what another index returns can look cheaper to it than it is: it does not know
/// how many orders an owner has.
pub(crate) const IN_ORDER: &str = "enable_incremental_sort=off";

/// Planner settings that leave only index scans.
pub(crate) const BY_INDEX: [&str; 2] = ["enable_seqscan=off", "enable_bitmapscan=off"];

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    pool: Pool<AsyncPgConnection>,
    connect_timeout: Duration,
    place: Arc<str>,
    name: &'static str,
}

impl Database {
    /// A pool that connects on first use, so that a service can start before its database.
    ///
    /// The runtime that calls this drives all connections, including those that other runtimes
    /// request: a web server's threads end before the work that still needs the connections.
    pub fn new(application: &'static str, settings: &DatabaseSettings) -> Self {
        Self::with_settings(application, settings, &[])
    }

    /// A pool for statements that always use an index, on tables that can fill up quickly. The
    /// planner chooses a full scan for an empty table, and the cached plan outlives the moment when
    /// the table fills up. The same applies to the plans of foreign key checks.
    pub fn by_index(application: &'static str, settings: &DatabaseSettings) -> Self {
        Self::with_settings(application, settings, &BY_INDEX)
    }

    /// Like [`Self::by_index`], for statements with array parameters: each is planned once. By
    /// default PostgreSQL plans them again for each array length, which takes as long as running
    /// them.
    pub fn with_generic_plans(application: &'static str, settings: &DatabaseSettings) -> Self {
        let [scans, bitmaps] = BY_INDEX;
        let once = "plan_cache_mode=force_generic_plan";
        Self::with_settings(application, settings, &[scans, bitmaps, once])
    }

    fn with_settings(
        application: &'static str,
        database: &DatabaseSettings,
        more: &[&str],
    ) -> Self {
        let settings = [&[IN_ORDER], more].concat();
        let (url, ca) = (&database.database_url, database.database_ca_file.as_ref());
        let connector = Connector::new(url, ca, database.database_connect_timeout);
        let timeout = database.database_statement_timeout;
        let connector = connector
            .configure(|config| apply_session_settings(config, application, timeout, &settings));
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let runtime = Handle::current();
        config.custom_setup = Box::new(move |_| {
            let connector = connector.clone();
            // Dropping the handle aborts an abandoned attempt and closes its socket.
            let established = runtime.spawn(async move { connector.connect().await });
            let established = AbortOnDropHandle::new(established);
            let ended = |error: JoinError| ConnectionError::BadConnection(error.to_string());
            async move { established.await.map_err(ended)? }.boxed()
        });
        let place = database.database_url.place();
        let manager = AsyncDieselConnectionManager::new_with_config(&*place, config);
        let timeout = Some(database.database_connect_timeout);
        let pool = Pool::builder(manager)
            .max_size(database.database_pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(timeout)
            .create_timeout(timeout)
            .recycle_timeout(timeout)
            .pre_recycle(Hook::sync_fn(|_, metrics| {
                if metrics.age() >= MAX_AGE {
                    Err(HookError::message("the connection exceeded its maximum age"))
                } else if opened_before_read_only(metrics.created) {
                    Err(HookError::message("the server was read-only"))
                } else {
                    Ok(())
                }
            }))
            .build();
        match pool {
            Ok(pool) => {
                let connect_timeout = database.database_connect_timeout;
                pool_metrics::show(application, &pool);
                Self { pool, connect_timeout, place, name: application }
            }
            // The only possible error is a timeout without a runtime, and the runtime is set above.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// Returns a connection, or an error after the connect timeout.
    pub async fn connection(&self) -> Result<PooledConnection, StoreError> {
        // The wait for a slot and the attempt to connect have one timeout each. This one limits
        // their sum.
        let started = Instant::now();
        let connection = tokio::time::timeout(self.connect_timeout, self.pool.get()).await;
        pool_metrics::record_wait(self.name, started.elapsed(), matches!(connection, Ok(Ok(_))));
        let place = || self.place.to_string();
        connection
            .map_err(|_| StoreError::Timeout { place: place() })?
            .map_err(|error| StoreError::connection(place(), error))
    }

    /// A readiness probe: see [`Self::ping`].
    pub fn probe(&self) -> impl Fn() -> ProbeFuture + Send + Sync + 'static {
        let database = self.clone();
        move || {
            let database = database.clone();
            async move { Ok(database.ping().await?) }.boxed()
        }
    }

    /// Checks that the database responds and accepts writes. After a failover, a connection can
    /// lead to the former primary.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let is_read_only = sql::<Bool>("current_setting('transaction_read_only')::boolean");
        let is_read_only: bool = diesel::select(is_read_only).get_result(&mut connection).await?;
        if is_read_only {
            retire_connections();
            return Err(StoreError::ReadOnly { place: self.place.to_string() });
        }
        Ok(())
    }
}

/// When a server was last found to be read-only. Connections that are older may lead to a former
/// primary, and are not reused.
static LAST_READ_ONLY: Mutex<Option<StdInstant>> = Mutex::new(None);

/// Prevents the reuse of every connection that is open now, in all pools.
pub(crate) fn retire_connections() {
    *LAST_READ_ONLY.lock().unwrap_or_else(PoisonError::into_inner) = Some(StdInstant::now());
}

fn opened_before_read_only(created: StdInstant) -> bool {
    *LAST_READ_ONLY.lock().unwrap_or_else(PoisonError::into_inner) > Some(created)
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

/// Sets the timeouts, keepalives and application name of a connection. A request that is dropped
/// inside a transaction leaves its locks until the server ends the transaction.
fn apply_session_settings(
    config: &mut tokio_postgres::Config,
    application: &str,
    statement_timeout: Duration,
    settings: &[&str],
) {
    let timeout_ms = statement_timeout.as_millis();
    let mut options = vec![
        format!("-c statement_timeout={timeout_ms}"),
        format!("-c idle_in_transaction_session_timeout={timeout_ms}"),
    ];
    options.extend(settings.iter().map(|setting| format!("-c {setting}")));
    // The last value wins, so options in the URL take precedence.
    options.extend(config.get_options().map(ToOwned::to_owned));
    config.options(options.join(" "));
    config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).tcp_user_timeout(DEAD_PEER);
    if config.get_application_name().is_none() {
        config.application_name(application);
    }
}
