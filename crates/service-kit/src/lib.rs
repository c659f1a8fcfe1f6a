//! What every service needs around its own work: configuration, telemetry, a management endpoint, a way to
//! start, a way to stop, and one way to wait when something is away.

pub mod build_info;
pub mod config;
pub mod credentials;
pub mod error_chain;
pub mod health;
mod healthcheck;
pub mod heartbeat;
pub mod jwt;
pub mod last_answers;
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

/// Every service allocates a little for each of many small things: a request, a row, a header.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
