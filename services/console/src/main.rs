//! Shows operators the system, and lets them act.

use std::process::ExitCode;

use console::Config;
use service_kit::lifecycle::service;

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main("console", |config: &Config| &config.common, console::build)
}
