//! Ships and delivers orders.

use std::process::ExitCode;

use delivery_service::{Application, Config};

fn main() -> ExitCode {
    service_kit::service::main("delivery-service", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
