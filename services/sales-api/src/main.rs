//! Accepts orders over HTTP.

use std::process::ExitCode;

use sales_api::{Application, Config};

fn main() -> ExitCode {
    service_kit::service::main("sales-api", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
