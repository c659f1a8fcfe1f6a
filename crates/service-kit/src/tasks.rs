//! The loops of a service: started together, stopped together, and none dies unseen.

use std::io;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Why a service ended though nobody asked it to.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A loop gave up.
    #[error("{task} failed")]
    Failed {
        /// Which one.
        task: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A loop returned though nobody asked it to.
    #[error("{0} ended by itself")]
    Ended(&'static str),
    /// A loop panicked.
    #[error("a task panicked")]
    Panicked(#[from] JoinError),
    /// Work in hand did not finish in time.
    #[error("not everything stopped within {0:?}")]
    Timeout(Duration),
    /// The service could not start.
    #[error("cannot start")]
    Start(#[from] io::Error),
}

/// A service's loops.
#[derive(Debug)]
pub struct Tasks {
    set: JoinSet<(&'static str, Outcome)>,
    shutdown: CancellationToken,
}

impl Tasks {
    /// None yet. `shutdown` tells all of them to stop.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { set: JoinSet::new(), shutdown }
    }

    /// The signal that each task stops on.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Starts a loop, which runs until the shutdown.
    pub fn spawn<F, E>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.set.spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    /// Waits for the shutdown, or for the first loop that ends without it; then stops all of them, and waits
    /// for `deadline` at most.
    pub async fn join(mut self, deadline: Duration) -> Result<(), ServiceError> {
        let verdict = tokio::select! {
            () = self.shutdown.cancelled() => Ok(()),
            Some(first) = self.set.join_next() => match first {
                Err(panic) => Err(ServiceError::Panicked(panic)),
                Ok((task, Err(source))) => Err(ServiceError::Failed { task, source }),
                // Both can be ready at once, and the loop may have seen the shutdown first.
                Ok((_, Ok(()))) if self.shutdown.is_cancelled() => Ok(()),
                Ok((task, Ok(()))) => Err(ServiceError::Ended(task)),
            },
        };
        self.shutdown.cancel();
        let drained = tokio::time::timeout(deadline, self.drain()).await;
        verdict.and(drained.unwrap_or(Err(ServiceError::Timeout(deadline))))
    }

    async fn drain(&mut self) -> Result<(), ServiceError> {
        let mut verdict = Ok(());
        while let Some(ended) = self.set.join_next().await {
            let outcome = ended.map_err(ServiceError::from).and_then(|(task, outcome)| {
                outcome.map_err(|source| ServiceError::Failed { task, source })
            });
            verdict = verdict.and(outcome);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_shutdown_lets_every_task_finish() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.shutdown();
        tasks.spawn("loop", async move {
            stop.cancelled().await;
            io::Result::Ok(())
        });
        tasks.shutdown().cancel();
        assert!(tasks.join(SOON).await.is_ok());
    }

    /// Fails or panics in one task, and tells whether the other one was asked to stop and had the time to.
    async fn others_drain_after(
        sick: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> (ServiceError, bool) {
        let mut tasks = Tasks::new(CancellationToken::new());
        let (stop, drained) = (tasks.shutdown(), Arc::new(AtomicBool::new(false)));
        let seen = drained.clone();
        tasks.spawn("healthy", async move {
            stop.cancelled().await;
            tokio::task::yield_now().await;
            drained.store(true, Ordering::Relaxed);
            io::Result::Ok(())
        });
        tasks.spawn("sick", sick);
        let error = tasks.join(SOON).await.unwrap_err();
        (error, seen.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_task_that_fails_stops_the_others() {
        let (error, drained) = others_drain_after(async { Err(io::Error::other("no more")) }).await;
        assert!(matches!(error, ServiceError::Failed { task: "sick", .. }) && drained);
    }

    #[tokio::test]
    async fn a_task_that_panics_stops_the_others() {
        let (error, drained) = others_drain_after(async { panic!("oh") }).await;
        assert!(matches!(error, ServiceError::Panicked(_)) && drained);
    }

    #[tokio::test]
    async fn a_task_that_ends_early_is_a_failure() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("short", async { io::Result::Ok(()) });
        assert!(matches!(tasks.join(SOON).await, Err(ServiceError::Ended("short"))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_left_behind() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("stubborn", std::future::pending::<io::Result<()>>());
        tasks.shutdown().cancel();
        assert!(matches!(tasks.join(SOON).await, Err(ServiceError::Timeout(_))));
    }
}
