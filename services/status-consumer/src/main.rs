//! Applies delivery events to the status of orders.

use std::process::ExitCode;

use service_kit::lifecycle::service;
use status_consumer::Config;

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main("status-consumer", |config: &Config| &config.common, status_consumer::build)
}
