//! Assembles the service: the API server and the background tasks.

use std::io;

use actix_web::middleware::{Compress, Condition, from_fn};
use actix_web::{App, HttpServer, web};
use auth::TokenVerifier;
use service_kit::close_connections::{Stopping, close_connections, set_max_age};
use service_kit::config::open_files;
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::Database;

use crate::Config;
use crate::http::extract::caller::fetch_missing_key;
use crate::http::middleware::cors::cors;
use crate::http::middleware::request_metrics::init_error_series;
use crate::http::middleware::request_scope::request_scope;
use crate::http::middleware::unread_body::hold_unread_body;
use crate::http::router::{self, ROUTES};
use crate::orders::feed::Horizon;
use crate::orders::outbox_notifier::OutboxNotifier;
use crate::orders::writer::{Heartbeats, OrderWriter};
use crate::shared::Shared;

/// The API, ready to run. The service needs no database yet. When it stops, it completes the active
/// requests.
pub fn build(config: &Config) -> Result<Service, ServiceError> {
    let mut service = Service::bind("sales-api", &config.common, config.management_port)?;
    let listener = service.listen(config.port)?;
    service.tasks.delay = config.intake.shutdown_delay;
    let shutdown = service.tasks.shutdown();
    // Readiness does not depend on the inventory: it can be unavailable for all instances at once,
    // and reads and replays do not need it.
    let database = Database::by_index("sales-api", &config.database);
    service.probe("postgres", database.probe());
    let verifier = TokenVerifier::new(&config.tokens).map_err(io::Error::other)?;
    if let Some(probe) = verifier.probe() {
        service.probe("token keys", probe);
    }

    let notifier = OutboxNotifier::default();
    let heartbeats = Heartbeats::new(config.common.liveness_grace, &config.database);
    service.watch(heartbeats.inserts.clone());
    service.watch(heartbeats.lookups.clone());
    let (writer, writer_thread) =
        OrderWriter::start(&config.database, notifier.clone(), heartbeats)?;
    for route in &ROUTES {
        init_error_series(route.path, route.methods);
    }
    let horizon = Horizon::new();
    let shared = Shared::new(config, verifier, &database, writer, &notifier, &horizon)?;
    service.tasks.add("change feed", horizon.run(database.clone(), shutdown.clone()));
    // Stops last, so that the relays are also notified of the last orders.
    service.tasks.add_last("outbox notifier", notifier.run(database, service.tasks.end()));
    service.tasks.add("order writer", writer_thread.join());
    let (verifier, stop) = (shared.verifier.clone(), shutdown.clone());
    service.tasks.add("token keys", async move { verifier.refresh_keys(stop).await });
    let (rate_limit, stop) = (shared.rate_limit.clone(), shutdown.clone());
    service.tasks.add("rate limit", async move { rate_limit.sweep(stop).await });

    let stopping = web::Data::new(Stopping(service.tasks.stop_signal()));
    let origins = config.limits.cors_allowed_origins.clone().unwrap_or_default();
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
    .workers(config.http_workers)
    .max_connections((client_connections(config) / config.http_workers).max(1))
    .keep_alive(config.intake.http_keep_alive)
    .on_connect(set_max_age(config.intake.http_connection_max_age))
    // Limits slow request heads; `JsonBody` limits slow bodies.
    .client_request_timeout(config.limits.request_read_timeout)
    .disable_signals()
    .shutdown_signal(shutdown.cancelled_owned())
    // Leaves time for the other tasks to stop.
    .shutdown_timeout(config.common.shutdown_timeout.as_secs().saturating_sub(1).max(1))
    .listen(listener)?;
    service.tasks.add("api", server.run());
    Ok(service)
}

/// Maximum number of client connections. A request opens at most two connections to the inventory.
/// The process keeps two pools, for the order writer and for everything else, and two connections
/// for notifications, and one for those of the change feed.
fn client_connections(config: &Config) -> usize {
    let kept = 2 * config.database.database_pool_size + 3;
    let requests = config.limits.max_concurrent_requests;
    open_files::client_connections(open_files::raise_limit(), kept, requests, 2)
}
