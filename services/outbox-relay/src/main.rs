//! Publishes events from the outbox in Postgres to Kafka.

use std::process::ExitCode;

use outbox_relay::{Application, Config};

/// The services make many small allocations: for requests, rows and headers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    service_kit::lifecycle::service::main("outbox-relay", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
