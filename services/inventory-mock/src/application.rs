//! The service, put together.

use std::io;
use std::net::TcpListener;
use std::sync::RwLock;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use service_kit::config::ServiceConfig;
use service_kit::health::Readiness;
use service_kit::management::{self, Management};
use service_kit::tasks::{ServiceError, Tasks};
use tokio_util::sync::CancellationToken;

use crate::behaviour::Behaviour;
use crate::{Config, routes};

/// The API with its management endpoint, ready to run.
#[derive(Debug)]
pub struct Application {
    management: Management,
    listener: TcpListener,
    behaviour: Behaviour,
    shutdown_timeout: Duration,
}

impl Application {
    /// Takes the ports.
    pub fn build(config: &Config) -> Result<Self, ServiceError> {
        Ok(Self {
            management: Management::bind(
                &config.common.host,
                config.management_port(),
                Readiness::default(),
            )?
            .exposing("inventory-mock"),
            listener: management::bind(&config.common.host, config.port)?,
            behaviour: config.behaviour(),
            shutdown_timeout: config.common.shutdown_timeout,
        })
    }

    /// The port of the API.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Runs until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let mut tasks = Tasks::new(shutdown);
        let api = server(self.listener, self.behaviour, tasks.shutdown())?;
        tasks.spawn("management", self.management.run(tasks.shutdown()));
        tasks.spawn("api", api);
        tasks.join(self.shutdown_timeout).await
    }
}

fn server(
    listener: TcpListener,
    behaviour: Behaviour,
    shutdown: CancellationToken,
) -> io::Result<Server> {
    let current = web::Data::new(RwLock::new(behaviour));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(current.clone())
            .route("/availability", web::post().to(routes::availability))
            .route("/admin/behaviour", web::get().to(routes::behaviour))
            .route("/admin/behaviour", web::put().to(routes::set_behaviour))
    })
    .workers(1)
    .disable_signals()
    .shutdown_signal(shutdown.cancelled_owned())
    .shutdown_timeout(5)
    .listen(listener)?;
    Ok(server.run())
}
