//! A service as a process: its ports, its loops, and the `main` of every service.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use tokio_util::sync::CancellationToken;

use crate::config::{self, EX_CONFIG};
use crate::credentials;
use crate::health::management::Management;
use crate::health::{ProbeError, healthcheck};
use crate::lifecycle::settings::CommonSettings;
use crate::lifecycle::shutdown;
use crate::lifecycle::tasks::{ServiceError, Tasks};
use crate::telemetry::{Telemetry, build_info, metrics};
use crate::{Chain, Heartbeat};

/// A service with its ports bound: its loops and its management endpoint, ready to run.
pub struct Service {
    /// The loops.
    pub tasks: Tasks,
    management: Management,
    management_port: u16,
    host: String,
    port: Option<u16>,
    shutdown_timeout: Duration,
}

impl Service {
    /// Binds the management port; 0 takes a free one. Installs the recorder of the metrics:
    /// metrics that are registered earlier are not exported. Counters start at 0.
    pub fn bind(
        name: &'static str,
        settings: &CommonSettings,
        management_port: u16,
    ) -> io::Result<Self> {
        metrics::install().map_err(io::Error::other)?;
        let listener = listen(&settings.host, management_port)?;
        metrics::expose(name);
        credentials::show_days_left();
        Ok(Self {
            tasks: Tasks::default(),
            management_port: listener.local_addr()?.port(),
            management: Management::new(listener, settings.readiness),
            host: settings.host.clone(),
            port: None,
            shutdown_timeout: settings.shutdown_timeout,
        })
    }

    /// Binds the port of the API; 0 takes a free one.
    pub fn listen(&mut self, port: u16) -> io::Result<TcpListener> {
        let listener = listen(&self.host, port)?;
        self.port = Some(listener.local_addr()?.port());
        Ok(listener)
    }

    /// Adds a dependency without which the service is not ready.
    pub fn probe<F, Fut>(&mut self, name: &'static str, probe: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ProbeError>> + Send + 'static,
    {
        self.management.readiness.probe(name, probe);
    }

    /// Adds a loop that must be alive for `/livez` to succeed.
    pub fn watch(&mut self, heartbeat: Heartbeat) {
        self.management.heartbeats.push(heartbeat);
    }

    /// The port of the API, if there is one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The port of the management endpoint.
    pub fn management_port(&self) -> u16 {
        self.management_port
    }

    /// Runs until `stop`, or until a loop ends.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), ServiceError> {
        let (stopping, end) = (self.tasks.stop_signal(), self.tasks.end());
        self.tasks.add_last("management", self.management.run(stopping, end));
        self.tasks.run(stop, self.shutdown_timeout).await
    }
}

/// Binds a port. The error names it.
fn listen(host: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((host, port)).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {host}:{port}: {error}"))
    })
}

/// Runs a service as a process: reads its configuration, sets up telemetry, builds the service and
/// runs it until SIGTERM or SIGINT, and flushes telemetry.
///
/// Exit codes: 0 after a clean stop, 1 after a failure, [`EX_CONFIG`] for a wrong setting. With the
/// argument `healthcheck` it checks whether a running instance is ready, and exits.
pub fn main<C: Conf>(
    name: &'static str,
    common: fn(&C) -> &CommonSettings,
    build: fn(&C) -> Result<Service, ServiceError>,
) -> ExitCode {
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
    let telemetry = match Telemetry::start(name, &common(&config).telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return config_error(&Chain(&error).to_string()),
    };
    let code = match run(name, || build(&config)) {
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

fn run(
    name: &'static str,
    build: impl FnOnce() -> Result<Service, ServiceError>,
) -> Result<(), ServiceError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let (version, revision) = (build_info::VERSION, build_info::revision());
        tracing::info!(service = name, version, revision, "starting");
        let stop = shutdown::on_signal()?;
        build()?.run(stop).await
    });
    // A hanging blocking call, such as a flush to an unavailable broker, must not delay the exit.
    runtime.shutdown_background();
    outcome
}

fn config_error(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::from(EX_CONFIG)
}
