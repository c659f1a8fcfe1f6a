//! Connections to Postgres: made when needed, bounded in number, and never waited for without end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use conf::Conf;
use deadpool::Runtime;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::deadpool::{Hook, HookError, Object, Pool};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use service_kit::config::{number_in, timeout_millis};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_postgres::config::Host;

use crate::{StoreError, pool_metrics};

/// A connection to Postgres.
pub type Connection = AsyncPgConnection;
/// A connection that goes back to its pool when it is dropped.
pub type PooledConnection = Object<AsyncPgConnection>;

/// How a service reaches its database.
#[derive(Clone, Debug, Conf)]
pub struct DatabaseSettings {
    /// Where the service's tables are, as in <postgres://user:password@host:5432/database>
    #[conf(env, secret, value_parser = parse_database_url)]
    pub database_url: SecretString,

    /// Most connections that the service opens
    #[conf(env, default_value = "8", value_parser = parse_pool_size)]
    pub database_pool_size: usize,

    /// Most milliseconds to wait for a connection, whether one has to become free or has to be made
    #[conf(env, default_value = "1500", value_parser = timeout_millis)]
    pub database_connect_timeout: Duration,

    /// Most milliseconds that one statement may take
    #[conf(env, default_value = "5000", value_parser = timeout_millis)]
    pub database_statement_timeout: Duration,
}

impl DatabaseSettings {
    /// The same database, with another number of connections.
    #[must_use]
    pub fn with_pool_size(&self, database_pool_size: usize) -> Self {
        Self { database_pool_size, ..self.clone() }
    }
}

/// Reads the URL of a database. What is wrong with it is not quoted: it holds a password.
pub fn parse_database_url(text: &str) -> Result<SecretString, &'static str> {
    if !(text.starts_with("postgres://") || text.starts_with("postgresql://")) {
        return Err("must begin with postgres://");
    }
    let config: tokio_postgres::Config =
        text.parse().map_err(|_| "must be like postgres://user:password@host:5432/database")?;
    if config.get_hosts().is_empty() {
        return Err("names no host");
    }
    Ok(text.into())
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
        Self::with_options(application, settings, "")
    }

    /// A pool for statements that are planned once, whatever their arrays hold. Left to itself, Postgres plans a
    /// statement over arrays anew for each length, which takes as long as running it. Not for reading from tables that
    /// are empty at times: a plan made then is a bad one later.
    pub fn planning_once(application: &'static str, settings: &DatabaseSettings) -> Self {
        Self::with_options(application, settings, " -c plan_cache_mode=force_generic_plan")
    }

    /// A pool for statements that find everything by an index, in tables that can be empty at one moment and full at the
    /// next. A plan that is made for an empty table reads all of it, which is cheap until there is a backlog, and is kept
    /// for longer than that takes.
    pub fn by_index(application: &'static str, settings: &DatabaseSettings) -> Self {
        let options = BY_INDEX.map(|setting| format!(" -c {setting}")).concat();
        Self::with_options(application, settings, options)
    }

    fn with_options(
        application: &'static str,
        settings: &DatabaseSettings,
        options: impl Into<String>,
    ) -> Self {
        let options: Arc<str> = options.into().into();
        let mut config = ManagerConfig::default();
        let statement_timeout = settings.database_statement_timeout;
        config.recycling_method = RecyclingMethod::Fast;
        let runtime = Handle::current();
        config.custom_setup = Box::new(move |url| {
            let established = runtime.spawn(establish(
                url.to_owned(),
                application,
                statement_timeout,
                options.clone(),
            ));
            let ended = |error: JoinError| ConnectionError::BadConnection(error.to_string());
            async move { established.await.map_err(ended)? }.boxed()
        });
        let manager = AsyncDieselConnectionManager::new_with_config(
            settings.database_url.expose_secret(),
            config,
        );
        let timeout = Some(settings.database_connect_timeout);
        let pool = Pool::builder(manager)
            .max_size(settings.database_pool_size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(timeout)
            .create_timeout(timeout)
            .recycle_timeout(timeout)
            .pre_recycle(Hook::sync_fn(|_, metrics| {
                if metrics.age() < MAX_AGE {
                    Ok(())
                } else {
                    Err(HookError::message("past its age"))
                }
            }))
            .build();
        let place = place_of(&settings.database_url).into();
        match pool {
            Ok(pool) => {
                let connect_timeout = settings.database_connect_timeout;
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
            .map_err(|source| StoreError::Connection { place: place(), source })
    }

    /// A check for a readiness endpoint: whether the database answers.
    pub fn probe(&self) -> impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static {
        let database = self.clone();
        move || {
            let database = database.clone();
            async move { database.ping().await.is_ok() }.boxed()
        }
    }

    /// Asks the database for an answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut connection = self.connection().await?;
        diesel::sql_query("SELECT 1").execute(&mut connection).await?;
        Ok(())
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("pool", &self.pool.status()).finish_non_exhaustive()
    }
}

/// Opens a connection on which nothing can hang or stay open: a request that is dropped in the middle of a
/// transaction leaves its locks behind until the server itself ends the transaction.
async fn establish(
    url: String,
    application: &'static str,
    statement_timeout: Duration,
    options: Arc<str>,
) -> ConnectionResult<AsyncPgConnection> {
    let mut config: tokio_postgres::Config = url.parse().map_err(|error| bad(&error))?;
    let timeout_ms = statement_timeout.as_millis();
    let settings = format!(
        "-c statement_timeout={timeout_ms} -c idle_in_transaction_session_timeout={timeout_ms}{options}"
    );
    let settings = match config.get_options() {
        Some(given) => format!("{settings} {given}"),
        None => settings,
    };
    config.options(settings);
    config.keepalives_idle(KEEPALIVE).keepalives_interval(KEEPALIVE).tcp_user_timeout(DEAD_PEER);
    if config.get_application_name().is_none() {
        config.application_name(application);
    }
    connect(&config).await
}

pub(crate) async fn connect(
    config: &tokio_postgres::Config,
) -> ConnectionResult<AsyncPgConnection> {
    let (client, connection) =
        config.connect(tokio_postgres::NoTls).await.map_err(|error| bad(&error))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

pub(crate) fn bad(error: &tokio_postgres::Error) -> ConnectionError {
    ConnectionError::BadConnection(service_kit::Chain(error).to_string())
}

/// Where a database is, without the password: `127.0.0.1:5432/sales`.
pub(crate) fn place_of(url: &SecretString) -> String {
    let Ok(config) = url.expose_secret().parse::<tokio_postgres::Config>() else {
        return String::new();
    };
    let ports = config.get_ports();
    let places = config.get_hosts().iter().enumerate().map(|(number, host)| {
        // One port is that of all hosts.
        let port = ports.get(number).or_else(|| ports.first()).unwrap_or(&5432);
        match host {
            Host::Tcp(name) => format!("{name}:{port}"),
            #[cfg(unix)]
            Host::Unix(folder) => format!("{}:{port}", folder.display()),
        }
    });
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("{}/{name}", places.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_url_is_checked_before_it_is_used() {
        assert!(parse_database_url("postgres://sales:secret@localhost:5432/sales").is_ok());
        for refused in ["", "localhost", "postgres:///sales", "postgres://localhost:port/sales"] {
            assert!(parse_database_url(refused).is_err(), "{refused:?}");
        }
        let place = |url: &str| place_of(&url.into());
        assert_eq!(place("postgres://u:hunter2@db:6432/sales"), "db:6432/sales");
        assert_eq!(place("postgres://u:hunter2@a,b/sales"), "a:5432,b:5432/sales");
        // In quotes, as an env file may hold it; the password must not come back in the message.
        let quoted = parse_database_url("\"postgres://u:hunter2@h/db?sslmode=disable\"");
        assert!(!format!("{quoted:?}").contains("hunter2"));
    }
}
