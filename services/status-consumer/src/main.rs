//! Applies delivery events to the status of orders.

use std::process::ExitCode;

use status_consumer::{Application, Config};

fn main() -> ExitCode {
    service_kit::service::main("status-consumer", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
