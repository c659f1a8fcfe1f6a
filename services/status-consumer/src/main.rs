//! Applies delivery events to the status of orders.

use std::process::ExitCode;

use status_consumer::{Application, Config};

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service_kit::lifecycle::service::main("status-consumer", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
