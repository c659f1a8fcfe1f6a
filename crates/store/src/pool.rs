//! Connections to Postgres: made when needed, bounded in number, and never waited for without end.

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
use service_kit::config::{number_in, timeout_millis};
use service_kit::credentials::CaFile;
use service_kit::health::Look;
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::connect::Connector;
use crate::{DatabaseUrl, StoreError, pool_metrics};

/// A connection to Postgres.
pub type Connection = AsyncPgConnection;
/// A connection that goes back to its pool when it is dropped.
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
    #[conf(env, default_value = "8", value_parser = parse_pool_size)]
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

    fn check(&self) -> Result<(), String> {
        let checked = self.database_url.check_ca(self.database_ca_file.as_ref());
        checked.map_err(|fault| format!("DATABASE_URL {fault}"))
    }
}

fn parse_pool_size(text: &str) -> Result<usize, String> {
    number_in(text, 1..=1000)
}

/// An age at which a connection is replaced, so that a moved primary or a changed password is noticed.
const MAX_AGE: Duration = Duration::from_mins(30);

/// After so long without an answer from a peer that should have answered, a connection is given up: a peer that
/// vanished sends no error.
const DEAD_PEER: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(5);

/// Leaves the planner nothing but the index.
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
    /// A pool that connects when it is first asked: a service starts before its database.
    ///
    /// Connections are driven by the runtime that this is called on, whoever asks for them: a web server's threads
    /// end before the work that still needs the connections.
    pub fn new(application: &'static str, settings: &DatabaseSettings) -> Self {
        Self::with_settings(application, settings, &[])
    }

    /// A pool for statements that find everything by an index, in tables that can be empty at one moment and full at the
    /// next. A plan that is made for an empty table reads all of it, which is cheap until there is a backlog, and is kept
    /// for longer than that takes. That goes for the plans of foreign keys too.
    pub fn by_index(application: &'static str, settings: &DatabaseSettings) -> Self {
        Self::with_settings(application, settings, &BY_INDEX)
    }

    /// The same for statements over arrays: they are planned once, whatever their arrays hold. Left to itself, Postgres
    /// plans them anew for each length, which takes as long as running them.
    pub fn planning_once(application: &'static str, settings: &DatabaseSettings) -> Self {
        let [scans, bitmaps] = BY_INDEX;
        let once = "plan_cache_mode=force_generic_plan";
        Self::with_settings(application, settings, &[scans, bitmaps, once])
    }

    fn with_settings(
        application: &'static str,
        database: &DatabaseSettings,
        settings: &[&str],
    ) -> Self {
        let (url, ca) = (&database.database_url, database.database_ca_file.as_ref());
        let connector = Connector::new(url, ca, database.database_connect_timeout);
        let timeout = database.database_statement_timeout;
        let connector =
            connector.configure(|config| let_nothing_hang(config, application, timeout, settings));
        let mut config = ManagerConfig::default();
        config.recycling_method = RecyclingMethod::Fast;
        let runtime = Handle::current();
        config.custom_setup = Box::new(move |_| {
            let connector = connector.clone();
            // An attempt that nobody waits for any more ends, and with it its socket.
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
                    Err(HookError::message("past its age"))
                } else if is_distrusted(metrics.created) {
                    Err(HookError::message("the server took no writes"))
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
            // The one error is a timeout without a runtime, and the runtime is named above.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// A connection, within the connect timeout.
    pub async fn connection(&self) -> Result<PooledConnection, StoreError> {
        // To wait for a place and then for a connection can take twice the time; together they may not.
        let started = Instant::now();
        let connection = tokio::time::timeout(self.connect_timeout, self.pool.get()).await;
        pool_metrics::waited(self.name, started.elapsed(), matches!(connection, Ok(Ok(_))));
        let place = || self.place.to_string();
        connection
            .map_err(|_| StoreError::Late { place: place() })?
            .map_err(|error| StoreError::connection(place(), error))
    }

    /// A check for a readiness endpoint: whether the database answers.
    pub fn probe(&self) -> impl Fn() -> Look + Send + Sync + 'static {
        let database = self.clone();
        move || {
            let database = database.clone();
            async move { Ok(database.ping().await?) }.boxed()
        }
    }

    /// Asks the database for an answer, and whether it takes writes: after a failover, a connection can lead to what was
    /// the primary before.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        let is_read_only = sql::<Bool>("current_setting('transaction_read_only')::boolean");
        let is_read_only: bool = diesel::select(is_read_only).get_result(&mut connection).await?;
        if is_read_only {
            distrust_connections();
            return Err(StoreError::ReadOnly { place: self.place.to_string() });
        }
        Ok(())
    }
}

/// When a server last said that it takes no writes: connections from before lead to one that may not be the primary any
/// more, and are not used again.
static TOOK_NO_WRITES: Mutex<Option<StdInstant>> = Mutex::new(None);

/// Lets no connection that there is be used again, once it is back in its pool.
pub(crate) fn distrust_connections() {
    *TOOK_NO_WRITES.lock().unwrap_or_else(PoisonError::into_inner) = Some(StdInstant::now());
}

fn is_distrusted(created: StdInstant) -> bool {
    *TOOK_NO_WRITES.lock().unwrap_or_else(PoisonError::into_inner) > Some(created)
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

/// On such a connection nothing can hang or stay open: a request that is dropped in the middle of a transaction leaves
/// its locks behind until the server itself ends the transaction.
fn let_nothing_hang(
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
    // What the URL says comes last, and counts.
    options.extend(config.get_options().map(ToOwned::to_owned));
    config.options(options.join(" "));
    config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).tcp_user_timeout(DEAD_PEER);
    if config.get_application_name().is_none() {
        config.application_name(application);
    }
}
