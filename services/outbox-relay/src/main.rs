//! Publishes events from the outbox in Postgres to Kafka.

use std::process::ExitCode;

use outbox_relay::{Application, Config};

fn main() -> ExitCode {
    service_kit::service::main("outbox-relay", async |config: Config, shutdown| {
        Application::build(&config)?.run(shutdown).await
    })
}
