//! Stands in for the inventory of a shop.

use std::process::ExitCode;

use inventory_mock::{Application, Config};

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service_kit::lifecycle::service::main("inventory-mock", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
