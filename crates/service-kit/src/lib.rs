//! What every service needs around its own work: configuration, telemetry, a management endpoint,
//! startup, shutdown, and retries during an outage.

pub mod build_info;
pub mod close_connections;
pub mod config;
pub mod credentials;
pub mod error_chain;
pub mod health;
mod healthcheck;
pub mod heartbeat;
pub mod jwt;
pub mod management;
pub mod metrics;
pub mod open_files;
pub mod outage;
pub mod recorder;
pub mod retry;
pub mod service;
pub mod shutdown;
pub mod tasks;
pub mod telemetry;
pub mod trace;
pub mod trace_settings;
pub mod usage;

pub use error_chain::Chain;
pub use heartbeat::Heartbeat;

/// Services make many small allocations: for requests, rows, headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
