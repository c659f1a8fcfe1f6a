//! Accepts orders over HTTP.

use std::process::ExitCode;

use sales_api::{Application, Config};

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service_kit::lifecycle::service::main("sales-api", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
