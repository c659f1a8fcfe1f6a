//! A service that runs inside the test's process.

use service_kit::lifecycle::tasks::ServiceError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running service. Dropping this value stops the service.
#[derive(Debug)]
pub struct Running {
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), ServiceError>>,
}

impl Running {
    /// Starts a service: `Running::start(|shutdown| application.run(shutdown))`.
    pub fn start<F>(run: impl FnOnce(CancellationToken) -> F) -> Self
    where
        F: Future<Output = Result<(), ServiceError>> + Send + 'static,
    {
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(shutdown.clone()));
        Self { shutdown, task }
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
