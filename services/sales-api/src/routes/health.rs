//! `GET /health`: for people and simple monitors. Orchestrators ask the management port.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use chrono::Utc;
use contracts::http::{Health, HealthServices};
use store::Database;
use tokio::time::{Instant, timeout};

use crate::create_order::CreateOrder;

/// When the process began to answer.
#[derive(Clone, Copy)]
pub(crate) struct StartedAt(pub(crate) Instant);

/// A database that has not answered by then is down.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Tells whether orders can be taken
#[utoipa::path(
    get,
    path = "/health",
    tag = "operations",
    security(()),
    responses(
        (status = 200, description = "Orders can be taken", body = Health),
        (status = 503, description = "The database is away", body = Health)
    )
)]
pub(crate) async fn health(
    database: web::Data<Database>,
    create: web::Data<CreateOrder>,
    started: web::Data<StartedAt>,
) -> HttpResponse {
    let up = timeout(PING_TIMEOUT, database.ping()).await.is_ok_and(|answer| answer.is_ok());
    let health = Health {
        status: if up { "healthy" } else { "unhealthy" }.to_owned(),
        timestamp: Utc::now(),
        services: HealthServices {
            database: if up { "up" } else { "down" }.to_owned(),
            api: "up".to_owned(),
            inventory: create.inventory.state().as_str().to_owned(),
        },
        uptime: started.0.elapsed().as_secs(),
    };
    if up {
        HttpResponse::Ok().json(health)
    } else {
        HttpResponse::ServiceUnavailable().json(health)
    }
}
