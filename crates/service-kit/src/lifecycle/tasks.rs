//! The loops of a service. They start and stop together, and the end of one stops all.

use std::io;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Why a service failed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// A loop returned an error.
    #[error("{task} failed")]
    Failed {
        /// Its name.
        task: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A loop returned without a stop signal.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// A loop panicked.
    #[error("a task panicked")]
    Panicked(#[from] JoinError),
    /// Work in progress did not finish in time.
    #[error("not all loops stopped within {0:?}")]
    Timeout(Duration),
    /// The service could not start.
    #[error("cannot start")]
    Start(#[from] io::Error),
}

/// Time for the loops of [`Tasks::spawn_last`] to stop, once all others have ended.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

type Set = JoinSet<(&'static str, Outcome)>;

/// A service's loops, and the order in which they stop.
///
/// After the stop signal the service is no longer ready, but continues to work for a delay, if it
/// has one. Then intake ends and work in progress finishes. The loops of
/// [`Tasks::spawn_last`], such as the management endpoint, stop last.
#[derive(Debug)]
pub struct Tasks {
    set: Set,
    last: Set,
    stop_signal: CancellationToken,
    delay: Duration,
    shutdown: CancellationToken,
    end: CancellationToken,
}

impl Tasks {
    /// No loops yet. Cancelling `stop_signal` stops the service.
    pub fn new(stop_signal: CancellationToken) -> Self {
        Self {
            set: JoinSet::new(),
            last: JoinSet::new(),
            stop_signal,
            delay: Duration::ZERO,
            shutdown: CancellationToken::new(),
            end: CancellationToken::new(),
        }
    }

    /// Sets how long the service continues after the stop signal, while load balancers notice it.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Cancelled by the stop signal.
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop_signal.clone()
    }

    /// Cancelled after the delay; each loop stops on it.
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

    /// Starts a loop that runs until all loops of [`Tasks::spawn`] have ended, which cancels its
    /// own token.
    pub fn spawn_last<F, E>(
        &mut self,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let task = task(self.end.clone());
        self.last.spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    /// Waits for the stop signal, or for the first loop that ends without it. Then stops all loops,
    /// and waits at most `deadline` for them.
    pub async fn join(mut self, deadline: Duration) -> Result<(), ServiceError> {
        let stop_signal = self.stop_signal.clone();
        let mut verdict = self.until(stop_signal.cancelled()).await;
        // If a loop has ended, the service must not be ready either.
        self.stop_signal.cancel();
        if verdict.is_ok() && !self.delay.is_zero() {
            let delay = tokio::time::sleep(self.delay);
            verdict = self.until(delay).await;
        }
        self.shutdown.cancel();
        let drained = timeout(deadline, drain(&mut self.set)).await;
        self.end.cancel();
        let ended = timeout(LAST_TIMEOUT, drain(&mut self.last)).await;
        verdict
            .and(drained.unwrap_or(Err(ServiceError::Timeout(deadline))))
            .and(ended.unwrap_or(Err(ServiceError::Timeout(LAST_TIMEOUT))))
    }

    /// Waits for `moment`. A loop that ends before it is a failure.
    async fn until(&mut self, moment: impl Future<Output = ()>) -> Result<(), ServiceError> {
        let ended = tokio::select! {
            biased;
            () = moment => return Ok(()),
            Some(ended) = self.set.join_next() => ended,
            Some(ended) = self.last.join_next() => ended,
        };
        Err(match ended {
            Err(panic) => ServiceError::Panicked(panic),
            Ok((task, Err(source))) => ServiceError::Failed { task, source },
            Ok((task, Ok(()))) => ServiceError::Ended(task),
        })
    }
}

async fn drain(set: &mut Set) -> Result<(), ServiceError> {
    let mut verdict = Ok(());
    while let Some(ended) = set.join_next().await {
        let outcome = ended.map_err(ServiceError::from).and_then(|(task, outcome)| {
            outcome.map_err(|source| ServiceError::Failed { task, source })
        });
        verdict = verdict.and(outcome);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_shutdown_waits_for_every_task() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.shutdown();
        tasks.spawn("loop", async move {
            stop.cancelled().await;
            io::Result::Ok(())
        });
        tasks.stop_signal().cancel();
        assert!(tasks.join(SOON).await.is_ok());
    }

    /// Records the time of a signal.
    fn noting(
        name: &'static str,
        signal: CancellationToken,
        noted: &Arc<Mutex<Vec<(&'static str, Duration)>>>,
    ) -> impl Future<Output = io::Result<()>> + Send + use<> {
        let (noted, begun) = (noted.clone(), tokio::time::Instant::now());
        async move {
            signal.cancelled().await;
            noted.lock().unwrap().push((name, begun.elapsed()));
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_phases_run_in_order() {
        let mut tasks = Tasks::new(CancellationToken::new()).delayed(Duration::from_secs(3));
        let noted = Arc::default();
        let recorded = noting("stop_signal", tasks.stop_signal(), &noted);
        tokio::spawn(recorded);
        let intake = noting("shutdown", tasks.shutdown(), &noted);
        tasks.spawn("intake", intake);
        tasks.spawn_last("management", |end| noting("end", end, &noted));
        tasks.stop_signal().cancel();
        assert!(tasks.join(SOON).await.is_ok());
        let at = |name, seconds| (name, Duration::from_secs(seconds));
        assert_eq!(*noted.lock().unwrap(), [at("stop_signal", 0), at("shutdown", 3), at("end", 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_during_the_delay_is_a_failure() {
        let mut tasks = Tasks::new(CancellationToken::new()).delayed(SOON);
        let stop_signal = tasks.stop_signal();
        tasks.spawn("short", async move {
            stop_signal.cancelled().await;
            io::Result::Ok(())
        });
        tasks.stop_signal().cancel();
        let begun = tokio::time::Instant::now();
        assert!(matches!(tasks.join(SOON).await, Err(ServiceError::Ended("short"))));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    /// Runs `sick` beside a healthy task. Returns the error, and whether the healthy task could
    /// finish.
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
    async fn a_task_that_does_not_stop_is_abandoned() {
        let mut tasks = Tasks::new(CancellationToken::new());
        tasks.spawn("stubborn", std::future::pending::<io::Result<()>>());
        tasks.stop_signal().cancel();
        assert!(matches!(tasks.join(SOON).await, Err(ServiceError::Timeout(_))));
    }
}
