//! The health of the API.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::encoding::timestamp;
use crate::schemas;

/// The response to `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// Whether the database is available. Independent of the inventory.
    pub status: HealthStatus,
    /// The current time.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub timestamp: DateTime<Utc>,
    /// The state of each component.
    pub services: HealthServices,
    /// Seconds since the process started.
    pub uptime: u64,
}

/// The state of each component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthServices {
    /// Whether the database is available: it responds and accepts writes.
    pub database: DatabaseHealth,
    /// Always `up`: the API responded.
    pub api: ApiHealth,
    /// The state of the circuit breaker, not of the inventory itself.
    pub inventory: InventoryHealth,
}

/// Whether orders can be stored and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// The database responds.
    Healthy,
    /// The database does not respond.
    Unhealthy,
}

/// Whether the database is available: it responds and accepts writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseHealth {
    /// The database responds.
    Up,
    /// The database does not respond.
    Down,
}

/// Whether the API responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiHealth {
    /// The API responds.
    Up,
}

/// The circuit breaker of the inventory: `up` until enough requests in a row have failed, then `down` (new orders are
/// refused with 503 at once), and `probing` while one request tries the inventory again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InventoryHealth {
    /// Closed: requests are sent to the inventory.
    Up,
    /// Open: no requests are sent to the inventory.
    Down,
    /// Half-open: one request at a time is sent to the inventory.
    Probing,
}
