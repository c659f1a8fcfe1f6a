//! The `main` of every service.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::Chain;
use crate::config::{self, EX_CONFIG, ServiceConfig};
use crate::health::healthcheck;
use crate::lifecycle::shutdown;
use crate::lifecycle::tasks::ServiceError;
use crate::telemetry::Telemetry;
use crate::telemetry::build_info;

/// Runs a service as a process: reads its configuration, sets up telemetry, runs the service until
/// SIGTERM or SIGINT, and flushes telemetry.
///
/// Exit codes: 0 after a clean stop, 1 after a failure, [`EX_CONFIG`] for a wrong setting. With the
/// argument `healthcheck` it checks whether a running instance is ready, and exits.
pub fn main<C, S, Fut>(name: &'static str, start: S) -> ExitCode
where
    C: ServiceConfig,
    S: FnOnce(C, CancellationToken) -> Fut,
    Fut: Future<Output = Result<(), ServiceError>>,
{
    if std::env::args().nth(1).as_deref() == Some("healthcheck") {
        let port = config::management_port::<C>();
        return match port {
            Some(port) => healthcheck::run(port),
            None => config_error("MANAGEMENT_PORT must be the port of the running instance"),
        };
    }
    let config: C = match config::load() {
        Ok(config) => config,
        Err(code) => return ExitCode::from(code),
    };
    let telemetry = match Telemetry::start(name, config.common()) {
        Ok(telemetry) => telemetry,
        Err(error) => return config_error(&Chain(&error).to_string()),
    };
    let code = match run(name, config, start) {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = %Chain(&error), "service failed");
            ExitCode::FAILURE
        }
    };
    telemetry.flush();
    code
}

fn run<C, S, Fut>(name: &'static str, config: C, start: S) -> Result<(), ServiceError>
where
    C: ServiceConfig,
    S: FnOnce(C, CancellationToken) -> Fut,
    Fut: Future<Output = Result<(), ServiceError>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (version, revision) = (build_info::VERSION, build_info::revision());
        tracing::info!(service = name, version, revision, "starting");
        start(config, shutdown::on_signal()?).await
    });
    // A hanging blocking call, such as a flush to an unavailable broker, must not delay the exit.
    runtime.shutdown_background();
    outcome
}

fn config_error(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(EX_CONFIG)
}
