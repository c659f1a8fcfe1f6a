//! `GET /health`: for people and simple monitors. Orchestrators ask the management port.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::Utc;
use contracts::http::{ApiHealth, DatabaseHealth, Health, HealthServices, HealthStatus};
use store::Database;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::create_order::CreateOrder;
use crate::openapi::examples;

/// A database that has not answered by then is down.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer of the database counts. Nobody needs a token here: without this, whoever asks often enough takes
/// the connections away from those who order.
const PULSE: Duration = Duration::from_secs(1);

/// Whether the database answers, asked by one at a time.
pub(crate) struct Pulse {
    started: Instant,
    database: Database,
    last: Mutex<Option<(Instant, bool)>>,
}

impl Pulse {
    pub(crate) fn new(database: Database) -> Self {
        Self { started: Instant::now(), database, last: Mutex::new(None) }
    }

    async fn beats(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, up)) = *last
            && at.elapsed() < PULSE
        {
            return up;
        }
        let answer = timeout(PING_TIMEOUT, self.database.ping()).await;
        let up = answer.is_ok_and(|answer| answer.is_ok());
        *last = Some((Instant::now(), up));
        up
    }
}

/// Reports whether the database answers, and the state of the inventory
///
/// Only the database determines the status: without it, no order can be stored or read. The state of the inventory is that
/// of the circuit breaker in front of it; this request does not call the inventory.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    security(()),
    responses(
        (
            status = 200,
            description = "The database answers",
            body = Health,
            example = json!(examples::healthy())
        ),
        (
            status = 503,
            description = "The database does not answer: no order can be stored or read",
            body = Health,
            example = json!(examples::unhealthy())
        )
    )
)]
pub(crate) async fn health(
    pulse: web::Data<Pulse>,
    create: web::Data<CreateOrder>,
) -> HttpResponse {
    let up = pulse.beats().await;
    let (status, database) = if up {
        (HealthStatus::Healthy, DatabaseHealth::Up)
    } else {
        (HealthStatus::Unhealthy, DatabaseHealth::Down)
    };
    let inventory = create.inventory.state().health();
    let health = Health {
        status,
        timestamp: Utc::now(),
        services: HealthServices { database, api: ApiHealth::Up, inventory },
        uptime: pulse.started.elapsed().as_secs(),
    };
    if up {
        HttpResponse::Ok().json(health)
    } else {
        HttpResponse::ServiceUnavailable().json(health)
    }
}
