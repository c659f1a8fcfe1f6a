//! Ships and delivers orders.

use std::process::ExitCode;

use delivery_service::{Application, Config};

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service_kit::lifecycle::service::main("delivery-service", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
