//! The port that operators and orchestrators talk to: `/livez`, `/readyz`, `/metrics`.
//!
//! It is apart from the service's own port, so that it is never exposed with it and still answers when the
//! service is busy.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio_util::sync::CancellationToken;

use crate::build_info;
use crate::credentials;
use crate::health::Readiness;
use crate::heartbeat::Heartbeat;
use crate::last_answers::Stopping;
use crate::metrics::{self, Runtime, catalogue};

/// The most connections at once. Operators and orchestrators need few.
const MOST_CONNECTIONS: usize = 128;

/// A bound management endpoint.
#[derive(Debug)]
pub struct Management {
    listener: TcpListener,
    readiness: Readiness,
    heartbeats: Vec<Heartbeat>,
}

impl Management {
    /// Takes the port; 0 takes a free one. From now on the process's metrics are recorded.
    pub fn bind(host: &str, port: u16, readiness: Readiness) -> io::Result<Self> {
        metrics::install().map_err(io::Error::other)?;
        let listener = bind(host, port)?;
        Ok(Self { listener, readiness, heartbeats: Vec::new() })
    }

    /// Shows the metrics of `service`; what is counted begins at 0.
    #[must_use]
    pub fn exposing(self, service: &'static str) -> Self {
        catalogue::begin(service);
        credentials::show_days_left();
        ::metrics::gauge!(
            "sales_build_info", "service" => service, "version" => build_info::VERSION,
            "revision" => build_info::revision()
        )
        .set(1.0);
        self
    }

    /// Counts a loop among those without which the service is not alive.
    #[must_use]
    pub fn watching(mut self, heartbeat: Heartbeat) -> Self {
        self.heartbeats.push(heartbeat);
        self
    }

    /// The same for several loops.
    #[must_use]
    pub fn watching_all(mut self, heartbeats: impl IntoIterator<Item = Heartbeat>) -> Self {
        self.heartbeats.extend(heartbeats);
        self
    }

    /// The port that was taken.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Answers until `end`. From `stopping` on, which comes before, the service is not ready.
    pub async fn run(self, stopping: CancellationToken, end: CancellationToken) -> io::Result<()> {
        let (readiness, heartbeats) = (self.readiness.clone(), self.heartbeats.clone());
        let server = self.server(stopping, end.clone())?;
        let watch = end.run_until_cancelled(watch(readiness, heartbeats));
        let (outcome, _) = tokio::join!(server, watch);
        outcome
    }

    fn server(self, stopping: CancellationToken, end: CancellationToken) -> io::Result<Server> {
        let readiness = web::Data::new(self.readiness);
        let stopping = web::Data::new(Stopping(stopping));
        let heartbeats = web::Data::new(self.heartbeats);
        let runtime = web::Data::new(Runtime::current());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(readiness.clone())
                .app_data(stopping.clone())
                .app_data(heartbeats.clone())
                .app_data(runtime.clone())
                .route("/livez", web::get().to(livez))
                .route("/readyz", web::get().to(readyz))
                .route("/metrics", web::get().to(prometheus))
        })
        .workers(1)
        // Idle ones end after seconds.
        .max_connections(MOST_CONNECTIONS)
        .disable_signals()
        .shutdown_signal(end.cancelled_owned())
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
/// database says so here, once, and so does one whose loop stands still.
async fn watch(readiness: Readiness, heartbeats: Vec<Heartbeat>) {
    let (mut was_ready, mut was_alive) = (None, true);
    loop {
        metrics::upkeep();
        readiness.look().await;
        let checks = readiness.told();
        for (check, holds) in &checks {
            ::metrics::gauge!("readiness_check", "check" => *check)
                .set(f64::from(u8::from(*holds)));
        }
        let ready = checks.values().all(|holds| *holds);
        if was_ready.replace(ready) != Some(ready) {
            if ready {
                tracing::info!(?checks, "ready");
            } else {
                let reasons = in_words(readiness.reasons());
                tracing::warn!(?checks, error = reasons, "not ready, waiting");
            }
        }
        let loops = alive(&heartbeats);
        let all_alive = loops.values().all(|alive| *alive);
        if was_alive && !all_alive {
            tracing::error!(?loops, "a loop stands still, only a restart helps");
        }
        was_alive = all_alive;
        tokio::time::sleep(readiness.interval()).await;
    }
}

/// On one line, each with the name of its check.
fn in_words(reasons: BTreeMap<&'static str, String>) -> String {
    let reasons = reasons.into_iter().map(|(check, reason)| format!("{check}: {reason}"));
    reasons.collect::<Vec<_>>().join("; ")
}

/// Loops of one name are alive as long as all of them are.
fn alive(heartbeats: &[Heartbeat]) -> BTreeMap<&'static str, bool> {
    let mut loops = BTreeMap::new();
    for heartbeat in heartbeats {
        *loops.entry(heartbeat.name()).or_insert(true) &= heartbeat.is_alive();
    }
    loops
}

async fn livez(heartbeats: web::Data<Vec<Heartbeat>>) -> HttpResponse {
    let loops = alive(&heartbeats);
    let alive = loops.values().all(|alive| *alive);
    let mut answer = if alive { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    answer.json(serde_json::json!({ "alive": alive, "loops": loops }))
}

/// What was found by the last looks: asking costs nothing, however often it is done.
async fn readyz(readiness: web::Data<Readiness>, stopping: web::Data<Stopping>) -> HttpResponse {
    let checks = readiness.told();
    let stopping = stopping.0.is_cancelled();
    let ready = !stopping && checks.values().all(|holds| *holds);
    let mut answer = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let mut told = serde_json::json!({ "ready": ready, "checks": checks });
    let reasons = readiness.reasons();
    if !reasons.is_empty() {
        told["reasons"] = serde_json::json!(reasons);
    }
    if stopping {
        told["stopping"] = true.into();
    }
    answer.json(told)
}

async fn prometheus(
    runtime: web::Data<Runtime>,
    heartbeats: web::Data<Vec<Heartbeat>>,
) -> HttpResponse {
    metrics::looks(&runtime, &heartbeats);
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics::render())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use actix_web::body::to_bytes;
    use serde_json::{Value, json};
    use tokio::time::advance;

    use super::*;
    use crate::health::tests::with_a_database;

    async fn answer(heartbeats: &[Heartbeat]) -> (u16, Value) {
        read(livez(web::Data::new(heartbeats.to_vec())).await).await
    }

    async fn read(answer: HttpResponse) -> (u16, Value) {
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body()).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_service_that_was_told_to_stop_is_not_ready_whatever_it_has() {
        let (readiness, _up) = with_a_database();
        readiness.look().await;
        let signal = CancellationToken::new();
        let (readiness, stopping) =
            (web::Data::new(readiness), web::Data::new(Stopping(signal.clone())));
        let ready = json!({ "ready": true, "checks": { "postgres": true } });
        let ask = async || read(readyz(readiness.clone(), stopping.clone()).await).await;
        assert_eq!(ask().await, (200, ready));
        signal.cancel();
        let told = json!({ "ready": false, "stopping": true, "checks": { "postgres": true } });
        assert_eq!(ask().await, (503, told));
    }

    #[tokio::test]
    async fn what_is_away_is_told_with_its_reason() {
        let (readiness, up) = with_a_database();
        up.store(false, Ordering::Relaxed);
        readiness.look().await;
        assert_eq!(in_words(readiness.reasons()), "postgres: it is down");
        let stopping = web::Data::new(Stopping(CancellationToken::new()));
        let told = json!({
            "ready": false, "checks": { "postgres": false }, "reasons": { "postgres": "it is down" }
        });
        assert_eq!(read(readyz(web::Data::new(readiness), stopping).await).await, (503, told));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_alive_until_one_of_its_loops_stands_still() {
        let limit = Duration::from_mins(1);
        let loops = [Heartbeat::new("intake", limit), Heartbeat::new("dispatch", limit)];
        let both = json!({ "alive": true, "loops": { "intake": true, "dispatch": true } });
        assert_eq!(answer(&loops).await, (200, both.clone()));

        advance(limit + Duration::from_millis(1)).await;
        loops[0].beat();
        let one = json!({ "alive": false, "loops": { "intake": true, "dispatch": false } });
        assert_eq!(answer(&loops).await, (503, one));

        loops[1].beat();
        assert_eq!(answer(&loops).await, (200, both));
    }

    #[tokio::test]
    async fn a_service_without_loops_is_alive_as_long_as_it_answers() {
        assert_eq!(answer(&[]).await, (200, json!({ "alive": true, "loops": {} })));
    }
}
