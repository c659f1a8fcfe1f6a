//! Stands in for the inventory of a shop.

use std::process::ExitCode;

use inventory_mock::Config;
use service_kit::lifecycle::service;

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service::main("inventory-mock", |config: &Config| &config.common, inventory_mock::build)
}
