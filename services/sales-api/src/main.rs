//! Accepts orders over HTTP.

use std::process::ExitCode;

use sales_api::Config;
use service_kit::lifecycle::service;

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main("sales-api", |config: &Config| &config.common, sales_api::build)
}
