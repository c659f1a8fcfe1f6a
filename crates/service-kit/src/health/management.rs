//! The port for operators and orchestrators: `/livez`, `/readyz`, `/metrics`.
//!
//! It is separate from the service's own port, so that it is never exposed with it and still
//! responds when the service is busy.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;

use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, web};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::close_connections::Stopping;
use crate::health::heartbeat::Heartbeat;
use crate::health::{Readiness, ReadinessSettings};
use crate::telemetry::metrics;

/// Maximum number of concurrent connections. Operators and orchestrators need few.
const MAX_CONNECTIONS: usize = 128;

/// A bound management endpoint.
pub(crate) struct Management {
    listener: TcpListener,
    pub(crate) readiness: Readiness,
    /// The loops that must be alive for `/livez` to succeed.
    pub(crate) heartbeats: Vec<Heartbeat>,
}

impl Management {
    pub(crate) fn new(listener: TcpListener, settings: ReadinessSettings) -> Self {
        Self { listener, readiness: Readiness::new(settings), heartbeats: Vec::new() }
    }

    /// Serves requests until `end`. The service is not ready from `stopping` on, which comes first.
    pub(crate) async fn run(
        self,
        stopping: CancellationToken,
        end: CancellationToken,
    ) -> io::Result<()> {
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
        let runtime = web::Data::new(Handle::current());
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
        // Idle connections are closed after a few seconds.
        .max_connections(MAX_CONNECTIONS)
        .disable_signals()
        .shutdown_signal(end.cancelled_owned())
        .shutdown_timeout(1)
        .listen(self.listener)?;
        Ok(server.run())
    }
}

/// Runs the probes and the upkeep of the metrics. Logs each change of readiness once, and each time
/// that a loop stalls.
async fn watch(readiness: Readiness, heartbeats: Vec<Heartbeat>) {
    let (mut was_ready, mut was_alive) = (None, true);
    loop {
        metrics::upkeep();
        readiness.sample().await;
        let checks = readiness.report();
        for (check, holds) in &checks {
            ::metrics::gauge!("readiness_check", "check" => *check)
                .set(f64::from(u8::from(*holds)));
        }
        let ready = checks.values().all(|holds| *holds);
        if was_ready.replace(ready) != Some(ready) {
            if ready {
                tracing::info!(?checks, "ready");
            } else {
                let reasons = join_reasons(readiness.reasons());
                tracing::warn!(?checks, error = reasons, "not ready, waiting");
            }
        }
        let loops = alive(&heartbeats);
        let all_alive = loops.values().all(|alive| *alive);
        if was_alive && !all_alive {
            tracing::error!(?loops, "loop stalled; restart required");
        }
        was_alive = all_alive;
        tokio::time::sleep(readiness.interval()).await;
    }
}

/// All reasons on one line, each with the name of its check.
fn join_reasons(reasons: BTreeMap<&'static str, String>) -> String {
    let reasons = reasons.into_iter().map(|(check, reason)| format!("{check}: {reason}"));
    reasons.collect::<Vec<_>>().join("; ")
}

/// Whether the loops are alive, by name. Loops of one name are alive if all of them are.
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
    let mut response = if alive { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(serde_json::json!({ "alive": alive, "loops": loops }))
}

/// Returns the results of the last probes, so that frequent requests cost nothing.
async fn readyz(readiness: web::Data<Readiness>, stopping: web::Data<Stopping>) -> HttpResponse {
    let checks = readiness.report();
    let stopping = stopping.0.is_cancelled();
    let ready = !stopping && checks.values().all(|holds| *holds);
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    let mut report = serde_json::json!({ "ready": ready, "checks": checks });
    let reasons = readiness.reasons();
    if !reasons.is_empty() {
        report["reasons"] = serde_json::json!(reasons);
    }
    if stopping {
        report["stopping"] = true.into();
    }
    response.json(report)
}

async fn prometheus(
    runtime: web::Data<Handle>,
    heartbeats: web::Data<Vec<Heartbeat>>,
) -> HttpResponse {
    metrics::update_process_metrics(&runtime, &heartbeats);
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

    async fn response(heartbeats: &[Heartbeat]) -> (u16, Value) {
        read(livez(web::Data::new(heartbeats.to_vec())).await).await
    }

    async fn read(response: HttpResponse) -> (u16, Value) {
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body()).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_stopping_service_is_not_ready() {
        let (readiness, _up) = with_a_database();
        readiness.sample().await;
        let signal = CancellationToken::new();
        let (readiness, stopping) =
            (web::Data::new(readiness), web::Data::new(Stopping(signal.clone())));
        let ready = json!({ "ready": true, "checks": { "postgres": true } });
        let ask = async || read(readyz(readiness.clone(), stopping.clone()).await).await;
        assert_eq!(ask().await, (200, ready));
        signal.cancel();
        let report = json!({ "ready": false, "stopping": true, "checks": { "postgres": true } });
        assert_eq!(ask().await, (503, report));
    }

    #[tokio::test]
    async fn a_failed_check_is_reported_with_its_reason() {
        let (readiness, up) = with_a_database();
        up.store(false, Ordering::Relaxed);
        readiness.sample().await;
        assert_eq!(join_reasons(readiness.reasons()), "postgres: it is down");
        let stopping = web::Data::new(Stopping(CancellationToken::new()));
        let report = json!({
            "ready": false, "checks": { "postgres": false }, "reasons": { "postgres": "it is down" }
        });
        assert_eq!(read(readyz(web::Data::new(readiness), stopping).await).await, (503, report));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_is_alive_until_a_loop_stalls() {
        let limit = Duration::from_mins(1);
        let loops = [Heartbeat::new("intake", limit), Heartbeat::new("dispatch", limit)];
        let both = json!({ "alive": true, "loops": { "intake": true, "dispatch": true } });
        assert_eq!(response(&loops).await, (200, both.clone()));

        advance(limit + Duration::from_millis(1)).await;
        loops[0].beat();
        let one = json!({ "alive": false, "loops": { "intake": true, "dispatch": false } });
        assert_eq!(response(&loops).await, (503, one));

        loops[1].beat();
        assert_eq!(response(&loops).await, (200, both));
    }

    #[tokio::test]
    async fn a_service_without_loops_is_alive() {
        assert_eq!(response(&[]).await, (200, json!({ "alive": true, "loops": {} })));
    }
}
