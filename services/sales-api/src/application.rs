//! Assembles the service: the API server, the management endpoint and the background tasks.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::{Compress, Condition, from_fn};
use actix_web::{App, HttpServer, web};
use service_kit::config::open_files;
use service_kit::config::{IntakeSettings, ServiceConfig};
use service_kit::health::Readiness;
use service_kit::health::management::{self, Management};
use service_kit::lifecycle::close_connections::{Stopping, close_connections, set_max_age};
use service_kit::lifecycle::tasks::{ServiceError, Tasks};
use store::Database;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::auth::TokenVerifier;
use crate::http::extract::body::hold_unread_body;
use crate::http::extract::caller::fetch_missing_key;
use crate::http::middleware::cors::Origins;
use crate::http::middleware::cors::cors;
use crate::http::middleware::request_metrics::init_error_series;
use crate::http::middleware::request_scope::request_scope;
use crate::http::router::{self, ROUTES};
use crate::orders::outbox_notifier::OutboxNotifier;
use crate::orders::writer::{Heartbeats, OrderWriter, OrderWriterThread};
use crate::shared::Shared;

/// The API with its management endpoint, ready to run.
pub struct Application {
    management: Management,
    listener: TcpListener,
    writer_thread: OrderWriterThread,
    shared: Shared,
    notifier: OutboxNotifier,
    database: Database,
    origins: Origins,
    read_timeout: Duration,
    workers: usize,
    connections: usize,
    intake: IntakeSettings,
    shutdown_timeout: Duration,
}

impl Application {
    /// Binds the ports. Does not need the database yet.
    pub fn build(config: &Config) -> Result<Self, ServiceError> {
        let database = Database::by_index("sales-api", &config.database);
        // Readiness does not depend on the inventory: it can be unavailable for all instances at
        // once, and reads and replays do not need it.
        let mut readiness =
            Readiness::new(config.common.readiness).probe("postgres", database.probe());
        let verifier = TokenVerifier::new(&config.tokens).map_err(io::Error::other)?;
        if let Some(probe) = verifier.probe() {
            readiness = readiness.probe("token keys", probe);
        }
        let notifier = OutboxNotifier::default();
        let heartbeats = Heartbeats::new(config.common.liveness_grace, &config.database);
        // Installs the metrics recorder. Metrics registered before this line would not be exported.
        let management =
            Management::bind(&config.common.host, config.management_port(), readiness)?
                .exposing("sales-api")
                .watching(heartbeats.inserts.clone())
                .watching(heartbeats.lookups.clone());
        let (writer, writer_thread) =
            OrderWriter::start(&config.database, notifier.clone(), heartbeats)?;
        for route in &ROUTES {
            init_error_series(route.path, route.methods);
        }
        Ok(Self {
            management,
            listener: management::bind(&config.common.host, config.port)?,
            writer_thread,
            shared: Shared::new(config, verifier, &database, writer, &notifier)?,
            notifier,
            database,
            origins: config.limits.cors_allowed_origins.clone().unwrap_or_default(),
            read_timeout: config.limits.request_read_timeout,
            workers: config.http_workers,
            connections: client_connections(config),
            intake: config.intake,
            shutdown_timeout: config.common.shutdown_timeout,
        })
    }

    /// The port of the API.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// The port of the management endpoint.
    pub fn management_port(&self) -> io::Result<u16> {
        self.management.port()
    }

    /// Serves requests until `shutdown` and the delay after it, and completes the active requests.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let shutdown_timeout = self.shutdown_timeout;
        let mut tasks = Tasks::new(shutdown).delayed(self.intake.shutdown_delay);
        let (rate_limit, verifier) = (self.shared.rate_limit.clone(), self.shared.verifier.clone());
        let (sweep, keys) = (tasks.shutdown(), tasks.shutdown());
        let (notifier, database) = (self.notifier.clone(), self.database.clone());
        // Stops last, so that the relays are also notified of the last orders.
        tasks.spawn_last("outbox notifier", |end| notifier.run(database, end));
        let (writer, management, server) =
            self.into_parts(Stopping(tasks.stop_signal()), tasks.shutdown())?;
        tasks.spawn("order writer", writer.join());
        tasks.spawn("token keys", async move { verifier.refresh_keys(keys).await });
        tasks.spawn("rate limit", async move { rate_limit.sweep(sweep).await });
        let stopping = tasks.stop_signal();
        tasks.spawn_last("management", |end| management.run(stopping, end));
        tasks.spawn("api", server);
        tasks.join(shutdown_timeout).await
    }

    fn into_parts(
        self,
        stopping: Stopping,
        shutdown: CancellationToken,
    ) -> io::Result<(OrderWriterThread, Management, Server)> {
        let Self { shared, origins, intake, .. } = self;
        let stopping = web::Data::new(stopping);
        let server = HttpServer::new(move || {
            App::new()
                .configure(|app| shared.register(app))
                .app_data(stopping.clone())
                .configure(router::configure)
                .wrap(Compress::default())
                .wrap(Condition::new(!origins.0.is_empty(), cors(&origins)))
                .wrap(Condition::new(shared.verifier.can_fetch(), from_fn(fetch_missing_key)))
                .wrap(from_fn(request_scope))
                .wrap(from_fn(hold_unread_body))
                .wrap(from_fn(close_connections))
        })
        .workers(self.workers)
        .max_connections((self.connections / self.workers).max(1))
        .keep_alive(intake.http_keep_alive)
        .on_connect(set_max_age(intake.http_connection_max_age))
        // Limits slow request heads; `JsonBody` limits slow bodies.
        .client_request_timeout(self.read_timeout)
        .disable_signals()
        .shutdown_signal(shutdown.cancelled_owned())
        // Leaves time for the other tasks to stop.
        .shutdown_timeout(self.shutdown_timeout.as_secs().saturating_sub(1).max(1))
        .listen(self.listener)?;
        Ok((self.writer_thread, self.management, server.run()))
    }
}

/// Maximum number of client connections. A request opens at most two connections to the inventory.
/// The process keeps two pools, for the order writer and for everything else, and two connections
/// for notifications.
fn client_connections(config: &Config) -> usize {
    let kept = 2 * config.database.database_pool_size + 2;
    let requests = config.limits.max_concurrent_requests;
    open_files::client_connections(open_files::raise_limit(), kept, requests, 2)
}
