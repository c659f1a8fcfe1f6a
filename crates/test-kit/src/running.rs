//! A service that runs inside a test.

use service_kit::tasks::ServiceError;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Stops its service when it is dropped.
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

    /// Whether it has not ended.
    pub fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }

    /// Drops it where it stands: no work is finished, no lease is handed over. Its clients still say goodbye; for an
    /// end without a word there is [`crate::Process::kill`].
    pub fn abort(self) {
        self.task.abort();
    }

    /// Asks it to stop, and waits until it has; an unclean end fails the test.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        (&mut self.task).await.expect("no panic").expect("a clean stop");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
