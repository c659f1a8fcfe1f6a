//! Assembles the service.

use std::sync::RwLock;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use service_kit::close_connections::{Stopping, close_connections, set_max_age};
use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;

use crate::{Config, routes};

/// The API, ready to run.
pub fn build(config: &Config) -> Result<Service, ServiceError> {
    let mut service = Service::bind("inventory-mock", &config.common, config.management_port)?;
    let listener = service.listen(config.port)?;
    service.tasks.delay = config.intake.shutdown_delay;
    let stopping = web::Data::new(Stopping(service.tasks.stop_signal()));
    let current = web::Data::new(RwLock::new(config.behaviour()));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(current.clone())
            .app_data(stopping.clone())
            .app_data(web::JsonConfig::default().error_handler(routes::unreadable))
            .wrap(from_fn(close_connections))
            .route("/availability", web::post().to(routes::availability))
            .route("/admin/behaviour", web::get().to(routes::behaviour))
            .route("/admin/behaviour", web::put().to(routes::set_behaviour))
    })
    .workers(1)
    .keep_alive(config.intake.http_keep_alive)
    .on_connect(set_max_age(config.intake.http_connection_max_age))
    .disable_signals()
    .shutdown_signal(service.tasks.shutdown().cancelled_owned())
    .shutdown_timeout(5)
    .listen(listener)?;
    service.tasks.add("api", server.run());
    Ok(service)
}
