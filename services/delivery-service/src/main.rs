//! Ships and delivers orders.

use std::process::ExitCode;

use delivery_service::Config;
use service_kit::lifecycle::service;

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main("delivery-service", |config: &Config| &config.common, delivery_service::build)
}
