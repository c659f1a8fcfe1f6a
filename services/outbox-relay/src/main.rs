//! Publishes events from the outbox in Postgres to Kafka.

use std::process::ExitCode;

use outbox_relay::Config;
use service_kit::lifecycle::service;

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main("outbox-relay", |config: &Config| &config.common, outbox_relay::build)
}
