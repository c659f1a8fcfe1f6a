//! Assembles the service.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::web::{self, Data};
use actix_web::{App, HttpServer};
use auth::TokenVerifier;
use contracts::topics::Names;
use service_kit::close_connections::{Stopping, close_connections, set_max_age};
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use store::Database;

use crate::Config;
use crate::assets;
use crate::pages::{
    actions, audit, dead_letters, group_letters, orders, overview, shipments, topics, verify,
};
use crate::security::secure;
use crate::sign_in;
use crate::state::State;

/// More than the live pages of an ordinary setting, and a bound for the memory.
const MAX_CONNECTIONS: usize = 1_000;
/// Number of connections for verifications, beside those for pages.
const VERIFY_CONNECTIONS: usize = 2;
/// Maximum time for the head of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The console, ready to run. It needs neither database nor broker to start: a page shows what is not
/// available.
pub fn build(config: &Config) -> Result<Service, ServiceError> {
    let mut service = Service::bind("console", &config.common, config.management_port)?;
    let listener = service.listen(config.port)?;
    service.tasks.delay = config.intake.shutdown_delay;
    let shutdown = service.tasks.shutdown();
    let verifier = TokenVerifier::new(&config.tokens).map_err(io::Error::other)?;
    if let Some(probe) = verifier.probe() {
        service.probe("token keys", probe);
    }
    let (keys, stop) = (verifier.clone(), shutdown.clone());
    service.tasks.add("token keys", async move { keys.refresh_keys(stop).await });

    let databases = config.databases.clone();
    let for_checks = databases.clone().open(|settings| {
        Database::by_index("console verify", &settings.with_pool_size(VERIFY_CONNECTIONS))
    });
    let databases = databases.open(|settings| Database::by_index("console", settings));
    let (kafka, names) = (config.kafka.clone(), Names::from(config.names.clone()));
    let stop = service.tasks.stop_signal();
    let state = State::new(databases, for_checks, kafka, names, config.max_live_pages, stop);
    let (state, verifier) = (Arc::new(state), Data::new(verifier));
    state.add_to(&mut service);
    let state = Data::from(state);
    let cookies = Data::new(config.secure_cookies);
    let stopping = Data::new(Stopping(service.tasks.stop_signal()));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .app_data(verifier.clone())
            .app_data(cookies.clone())
            .app_data(stopping.clone())
            .configure(routes)
            .wrap(from_fn(secure))
            .wrap(from_fn(close_connections))
    })
    .workers(1)
    .max_connections(MAX_CONNECTIONS)
    .client_request_timeout(REQUEST_TIMEOUT)
    // A browser that is gone ends its request, and its live page.
    .h1_allow_half_closed(false)
    .keep_alive(config.intake.http_keep_alive)
    .on_connect(set_max_age(config.intake.http_connection_max_age))
    .disable_signals()
    .shutdown_signal(shutdown.cancelled_owned())
    .shutdown_timeout(5)
    .listen(listener)?;
    service.tasks.add("pages", server.run());
    Ok(service)
}

fn routes(app: &mut web::ServiceConfig) {
    app.route("/", web::get().to(overview::overview))
        .route("/orders", web::get().to(orders::search))
        .route("/orders/{id}", web::get().to(orders::order))
        .route("/dead-letters", web::get().to(dead_letters::list))
        .route("/dead-letters", web::post().to(dead_letters::change))
        .route("/dead-letters/topics/{topic}", web::get().to(group_letters::list))
        .route("/dead-letters/topics/{topic}", web::post().to(group_letters::change))
        .route(
            "/dead-letters/topics/{topic}/{partition}/{offset}",
            web::get().to(group_letters::show),
        )
        .route(
            "/dead-letters/topics/{topic}/{partition}/{offset}/{part}",
            web::get().to(group_letters::download),
        )
        .route("/dead-letters/{id}", web::get().to(dead_letters::show))
        .route("/dead-letters/{id}/value", web::get().to(dead_letters::download))
        .route("/actions/{id}", web::get().to(actions::show))
        .route("/actions/{id}/stop", web::post().to(actions::stop))
        .route("/shipments", web::get().to(shipments::list))
        .route("/shipments", web::post().to(shipments::redrive))
        .route("/verify", web::get().to(verify::page))
        .route("/verify", web::post().to(verify::start))
        .route("/topics", web::get().to(topics::topics))
        .route("/topics/{topic}", web::get().to(topics::browse))
        .route("/topics/{topic}/{partition}/{offset}", web::get().to(topics::show))
        .route("/topics/{topic}/{partition}/{offset}/{part}", web::get().to(topics::download))
        .route("/audit", web::get().to(audit::audit))
        .route("/sign-in", web::get().to(sign_in::form))
        .route("/sign-in", web::post().to(sign_in::sign_in))
        .route("/sign-out", web::post().to(sign_in::sign_out))
        .route("/assets/{name}", web::get().to(assets::asset));
}
