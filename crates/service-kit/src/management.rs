//! The port that operators and orchestrators talk to: `/livez`, `/readyz`, `/metrics`.
//!
//! It is apart from the service's own port, so that it is never exposed with it and still answers when the
//! service is busy.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio_util::sync::CancellationToken;

use crate::health::Readiness;
use crate::metrics;

/// Between two looks at whether the service is ready.
const WATCH_INTERVAL: Duration = Duration::from_secs(5);

/// A bound management endpoint.
#[derive(Debug)]
pub struct Management {
    listener: TcpListener,
    readiness: Readiness,
}

impl Management {
    /// Takes the port; 0 takes a free one. From now on the process's metrics are recorded.
    pub fn bind(host: &str, port: u16, readiness: Readiness) -> io::Result<Self> {
        metrics::install().map_err(io::Error::other)?;
        let listener = bind(host, port)?;
        Ok(Self { listener, readiness })
    }

    /// The port that was taken.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Answers until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) -> io::Result<()> {
        let readiness = self.readiness.clone();
        let server = self.server(shutdown.clone())?;
        let (outcome, _) = tokio::join!(server, shutdown.run_until_cancelled(watch(readiness)));
        outcome
    }

    fn server(self, shutdown: CancellationToken) -> io::Result<Server> {
        let readiness = web::Data::new(self.readiness);
        let server = HttpServer::new(move || {
            App::new()
                .app_data(readiness.clone())
                .route("/livez", web::get().to(livez))
                .route("/readyz", web::get().to(readyz))
                .route("/metrics", web::get().to(prometheus))
        })
        .workers(1)
        .disable_signals()
        .shutdown_signal(shutdown.cancelled_owned())
        .shutdown_timeout(1)
        .listen(self.listener)?;
        Ok(server.run())
    }
}

/// Takes a port, and names it when it cannot be had.
pub fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((host, port)).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {host}:{port}: {error}"))
    })
}

/// Keeps the metrics small, and tells when the service gets ready or is no longer. A service that waits for its
/// database says so here, once.
async fn watch(readiness: Readiness) {
    let mut was_ready = None;
    loop {
        metrics::upkeep();
        let checks = readiness.check().await;
        let ready = checks.values().all(|holds| *holds);
        if was_ready.replace(ready) != Some(ready) {
            if ready {
                tracing::info!(?checks, "ready");
            } else {
                tracing::warn!(?checks, "not ready, waiting");
            }
        }
        tokio::time::sleep(WATCH_INTERVAL).await;
    }
}

async fn livez() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "alive": true }))
}

async fn readyz(readiness: web::Data<Readiness>) -> HttpResponse {
    let checks = readiness.check().await;
    let ready = checks.values().all(|holds| *holds);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(serde_json::json!({ "ready": ready, "checks": checks }))
}

async fn prometheus() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics::render())
}
