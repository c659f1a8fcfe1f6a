//! A service that runs inside the test's process.

use service_kit::lifecycle::service::Service;
use service_kit::lifecycle::tasks::ServiceError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running service. Dropping this value stops the service.
#[derive(Debug)]
pub struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServiceError>>,
    port: Option<u16>,
    management_port: Option<u16>,
}

impl Running {
    /// Starts a service.
    pub fn start(service: Service) -> Self {
        let (port, management_port) = (service.port(), service.management_port());
        let mut running = Self::start_loop(|shutdown| service.run(shutdown));
        (running.port, running.management_port) = (port, Some(management_port));
        running
    }

    /// Starts a part of a service, which has no port.
    pub fn start_loop<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), ServiceError>> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(shutdown.clone()));
        Self { shutdown, task, port: None, management_port: None }
    }

    /// The base URL of the API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.expect("the service has no API"))
    }

    /// The port of the management endpoint.
    pub fn management_port(&self) -> u16 {
        self.management_port.expect("there is no management endpoint")
    }

    /// Whether the service still runs.
    pub fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }

    /// Drops the service without finishing work or handing over leases. Its clients still
    /// disconnect cleanly; to avoid that, use [`crate::Process::kill`].
    pub fn abort(self) {
        self.task.abort();
    }

    /// Stops the service and waits for its end. Fails the test if the service returns an error.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.expect("the service panicked").expect("the service failed");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
