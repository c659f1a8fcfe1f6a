//! `GET /health`: for people and simple monitors. Orchestrators use the management port.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::Utc;
use contracts::http::{ApiHealth, DatabaseHealth, Health, HealthServices, HealthStatus};
use store::Database;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::http::examples;
use crate::orders::create::CreateOrder;

/// A database that does not respond within this time is down.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a probe result is reused. The route requires no token, so frequent requests could
/// otherwise use up the database connections that orders need.
const STATUS_TTL: Duration = Duration::from_secs(1);

/// Whether the database is available. One request at a time probes it.
pub(crate) struct DatabaseStatus {
    started: Instant,
    database: Database,
    last: Mutex<Option<(Instant, bool)>>,
}

impl DatabaseStatus {
    pub(crate) fn new(database: Database) -> Self {
        Self { started: Instant::now(), database, last: Mutex::new(None) }
    }

    async fn is_up(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, up)) = *last
            && at.elapsed() < STATUS_TTL
        {
            return up;
        }
        let response = timeout(PING_TIMEOUT, self.database.ping()).await;
        let up = response.is_ok_and(|response| response.is_ok());
        *last = Some((Instant::now(), up));
        up
    }
}

/// Reports whether the database is available, and the state of the inventory
///
/// Only the database determines the status: without it, no order can be stored or read. The state
/// of the inventory is that of the circuit breaker in front of it; this request does not call the
/// inventory.
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    security(()),
    responses(
        (
            status = 200,
            description = "The database is available",
            body = Health,
            example = json!(examples::healthy())
        ),
        (
            status = 503,
            description = "The database is unavailable: no order can be stored or read",
            body = Health,
            example = json!(examples::unhealthy())
        )
    )
)]
pub(crate) async fn health(
    database_status: web::Data<DatabaseStatus>,
    create: web::Data<CreateOrder>,
) -> HttpResponse {
    let up = database_status.is_up().await;
    let (status, database) = if up {
        (HealthStatus::Healthy, DatabaseHealth::Up)
    } else {
        (HealthStatus::Unhealthy, DatabaseHealth::Down)
    };
    let inventory = create.stock.state().health();
    let health = Health {
        status,
        timestamp: Utc::now(),
        services: HealthServices { database, api: ApiHealth::Up, inventory },
        uptime: database_status.started.elapsed().as_secs(),
    };
    if up {
        HttpResponse::Ok().json(health)
    } else {
        HttpResponse::ServiceUnavailable().json(health)
    }
}
