//! Assembles and runs the service.

use std::io;
use std::net::TcpListener;
use std::sync::RwLock;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use service_kit::config::{IntakeSettings, ServiceConfig};
use service_kit::health::Readiness;
use service_kit::health::management::{self, Management};
use service_kit::lifecycle::close_connections::{Stopping, close_connections, set_max_age};
use service_kit::lifecycle::tasks::{ServiceError, Tasks};
use tokio_util::sync::CancellationToken;

use crate::behaviour::Behaviour;
use crate::{Config, routes};

/// The API with its management endpoint, ready to run.
#[derive(Debug)]
pub struct Application {
    management: Management,
    listener: TcpListener,
    behaviour: Behaviour,
    intake: IntakeSettings,
    shutdown_timeout: Duration,
}

impl Application {
    /// Binds the ports.
    pub fn build(config: &Config) -> Result<Self, ServiceError> {
        Ok(Self {
            management: Management::bind(
                &config.common.host,
                config.management_port(),
                Readiness::new(config.common.readiness),
            )?
            .exposing("inventory-mock"),
            listener: management::bind(&config.common.host, config.port)?,
            behaviour: config.behaviour(),
            intake: config.intake,
            shutdown_timeout: config.common.shutdown_timeout,
        })
    }

    /// The port of the API.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Serves requests until `shutdown` and for the delay after it.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let mut tasks = Tasks::new(shutdown).delayed(self.intake.shutdown_delay);
        let stopping = tasks.stop_signal();
        let shutdown_timeout = self.shutdown_timeout;
        let (management, api) = self.server(Stopping(stopping.clone()), tasks.shutdown())?;
        tasks.spawn_last("management", |end| management.run(stopping, end));
        tasks.spawn("api", api);
        tasks.join(shutdown_timeout).await
    }

    fn server(
        self,
        stopping: Stopping,
        shutdown: CancellationToken,
    ) -> io::Result<(Management, Server)> {
        let stopping = web::Data::new(stopping);
        let current = web::Data::new(RwLock::new(self.behaviour));
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
        .keep_alive(self.intake.http_keep_alive)
        .on_connect(set_max_age(self.intake.http_connection_max_age))
        .disable_signals()
        .shutdown_signal(shutdown.cancelled_owned())
        .shutdown_timeout(5)
        .listen(self.listener)?;
        Ok((self.management, server.run()))
    }
}
