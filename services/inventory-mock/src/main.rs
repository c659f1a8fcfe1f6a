//! Stands in for the inventory of a shop.

use std::process::ExitCode;

use inventory_mock::{Application, Config};

fn main() -> ExitCode {
    service_kit::service::main("inventory-mock", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
