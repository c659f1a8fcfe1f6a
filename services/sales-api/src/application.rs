//! The service, put together.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use service_kit::config::ServiceConfig;
use service_kit::health::Readiness;
use service_kit::management::{self, Management};
use service_kit::tasks::{ServiceError, Tasks};
use store::Database;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Config;
use crate::admission::Admission;
use crate::body::BodyTimeout;
use crate::create_order::CreateOrder;
use crate::inventory::Inventory;
use crate::order_writer::{OrderWriter, OrderWriterThread};
use crate::request_scope::request_scope;
use crate::routes::{self, StartedAt};
use crate::tokens::TokenVerifier;

/// The API with its management endpoint, ready to run.
pub struct Application {
    management: Management,
    listener: TcpListener,
    database: web::Data<Database>,
    create_order: web::Data<CreateOrder>,
    writer_thread: OrderWriterThread,
    verifier: web::Data<TokenVerifier>,
    admission: web::Data<Admission>,
    read_timeout: Duration,
    workers: usize,
    shutdown_timeout: Duration,
}

impl Application {
    /// Takes the ports. Needs no database yet.
    pub fn build(config: &Config) -> Result<Self, ServiceError> {
        let database = Database::new("sales-api", &config.database);
        let readiness = Readiness::default().probe("postgres", database.probe());
        let management =
            Management::bind(&config.common.host, config.management_port(), readiness)?;
        let (writer, writer_thread) = OrderWriter::start(&config.database)?;
        let create_order = CreateOrder {
            inventory: Inventory::new(&config.inventory).map_err(io::Error::other)?,
            writer,
            topic: config.order_events_topic.clone(),
        };
        Ok(Self {
            management,
            listener: management::bind(&config.common.host, config.port)?,
            database: web::Data::new(database),
            create_order: web::Data::new(create_order),
            writer_thread,
            verifier: web::Data::new(TokenVerifier::new(&config.tokens)),
            admission: web::Data::new(Admission::new(config.limits.max_concurrent_requests)),
            read_timeout: config.limits.request_read_timeout,
            workers: config.http_workers,
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

    /// Answers until `shutdown`; requests in hand are answered first.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServiceError> {
        let shutdown_timeout = self.shutdown_timeout;
        let mut tasks = Tasks::new(shutdown);
        let (writer, management, server) = self.into_parts(tasks.shutdown())?;
        tasks.spawn("order writer", writer.join());
        tasks.spawn("management", management.run(tasks.shutdown()));
        tasks.spawn("api", server);
        tasks.join(shutdown_timeout).await
    }

    fn into_parts(
        self,
        shutdown: CancellationToken,
    ) -> io::Result<(OrderWriterThread, Management, Server)> {
        let Self { database, create_order, verifier, admission, .. } = self;
        let body_timeout = web::Data::new(BodyTimeout(self.read_timeout));
        let started = web::Data::new(StartedAt(Instant::now()));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(database.clone())
                .app_data(create_order.clone())
                .app_data(verifier.clone())
                .app_data(admission.clone())
                .app_data(body_timeout.clone())
                .app_data(started.clone())
                .configure(routes::configure)
                .wrap(from_fn(request_scope))
        })
        .workers(self.workers)
        // Slow heads; slow bodies are cut where they are read.
        .client_request_timeout(self.read_timeout)
        .disable_signals()
        .shutdown_signal(shutdown.cancelled_owned())
        // Leaves time for the other tasks to notice.
        .shutdown_timeout(self.shutdown_timeout.as_secs().saturating_sub(1).max(1))
        .listen(self.listener)?;
        Ok((self.writer_thread, self.management, server.run()))
    }
}
