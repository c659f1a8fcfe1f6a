//! The loops of a service. They start and stop together, and the end of one stops all.

use std::error::Error;
use std::io;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

type BoxedError = Box<dyn Error + Send + Sync>;

type Outcome = Result<(), BoxedError>;

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
        source: BoxedError,
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

/// Time for the loops of [`Tasks::add_last`] to stop, once all others have ended.
const LAST_TIMEOUT: Duration = Duration::from_secs(2);

type Set = JoinSet<(&'static str, Outcome)>;

type Loop = BoxFuture<'static, (&'static str, Outcome)>;

/// A service's loops, and the order in which they stop.
///
/// After the stop signal the service is no longer ready, but continues to work for a delay, if it
/// has one. Then intake ends and work in progress finishes. The loops of [`Tasks::add_last`], such
/// as the management endpoint, stop last.
#[derive(Default)]
pub struct Tasks {
    loops: Vec<Loop>,
    last: Vec<Loop>,
    /// How long the service continues after the stop signal, while load balancers notice it.
    pub delay: Duration,
    stop_signal: CancellationToken,
    shutdown: CancellationToken,
    end: CancellationToken,
}

impl Tasks {
    /// Cancelled when the service begins to stop.
    pub fn stop_signal(&self) -> CancellationToken {
        self.stop_signal.clone()
    }

    /// Cancelled after the delay; each loop stops on it.
    pub fn shutdown(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Cancelled when all loops of [`Tasks::add`] have ended; the other loops stop on it.
    pub fn end(&self) -> CancellationToken {
        self.end.clone()
    }

    /// Adds a loop, which runs until the shutdown.
    pub fn add<E: Into<BoxedError>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.loops.push(named(name, task));
    }

    /// Adds a loop that runs until the end.
    pub fn add_last<E: Into<BoxedError>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.last.push(named(name, task));
    }

    /// Runs all loops until `stop`, or until the first of them ends. Then stops them, and waits at
    /// most `deadline` for them.
    pub async fn run(
        self,
        stop: CancellationToken,
        deadline: Duration,
    ) -> Result<(), ServiceError> {
        let mut sets = [self.loops, self.last].map(|loops| loops.into_iter().collect::<Set>());
        let mut verdict = until(stop.cancelled(), &mut sets).await;
        // If a loop has ended, the service must not be ready either.
        self.stop_signal.cancel();
        if verdict.is_ok() && !self.delay.is_zero() {
            verdict = until(sleep(self.delay), &mut sets).await;
        }
        self.shutdown.cancel();
        let [mut loops, mut last] = sets;
        let drained = timeout(deadline, drain(&mut loops)).await;
        self.end.cancel();
        let ended = timeout(LAST_TIMEOUT, drain(&mut last)).await;
        verdict
            .and(drained.unwrap_or(Err(ServiceError::Timeout(deadline))))
            .and(ended.unwrap_or(Err(ServiceError::Timeout(LAST_TIMEOUT))))
    }
}

fn named<E: Into<BoxedError>>(
    name: &'static str,
    task: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Loop {
    task.map(move |outcome| (name, outcome.map_err(Into::into))).boxed()
}

/// Waits for `moment`. A loop that ends before it is a failure.
async fn until(
    moment: impl Future<Output = ()>,
    [loops, last]: &mut [Set; 2],
) -> Result<(), ServiceError> {
    let ended = tokio::select! {
        biased;
        () = moment => return Ok(()),
        Some(ended) = loops.join_next() => ended,
        Some(ended) = last.join_next() => ended,
    };
    Err(match ended {
        Err(panic) => ServiceError::Panicked(panic),
        Ok((task, Err(source))) => ServiceError::Failed { task, source },
        Ok((task, Ok(()))) => ServiceError::Ended(task),
    })
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

    fn stopped() -> CancellationToken {
        let stop = CancellationToken::new();
        stop.cancel();
        stop
    }

    #[tokio::test]
    async fn a_shutdown_waits_for_every_task() {
        let mut tasks = Tasks::default();
        let stop = tasks.shutdown();
        tasks.add("loop", async move {
            stop.cancelled().await;
            io::Result::Ok(())
        });
        assert!(tasks.run(stopped(), SOON).await.is_ok());
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
        let mut tasks = Tasks { delay: Duration::from_secs(3), ..Tasks::default() };
        let noted = Arc::default();
        let recorded = noting("stop_signal", tasks.stop_signal(), &noted);
        tokio::spawn(recorded);
        let intake = noting("shutdown", tasks.shutdown(), &noted);
        tasks.add("intake", intake);
        let management = noting("end", tasks.end(), &noted);
        tasks.add_last("management", management);
        assert!(tasks.run(stopped(), SOON).await.is_ok());
        let at = |name, seconds| (name, Duration::from_secs(seconds));
        assert_eq!(*noted.lock().unwrap(), [at("stop_signal", 0), at("shutdown", 3), at("end", 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_during_the_delay_is_a_failure() {
        let mut tasks = Tasks { delay: SOON, ..Tasks::default() };
        let stop_signal = tasks.stop_signal();
        tasks.add("short", async move {
            stop_signal.cancelled().await;
            io::Result::Ok(())
        });
        let begun = tokio::time::Instant::now();
        assert!(matches!(tasks.run(stopped(), SOON).await, Err(ServiceError::Ended("short"))));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    /// Runs `sick` beside a healthy task. Returns the error, and whether the healthy task could
    /// finish.
    async fn others_drain_after(
        sick: impl Future<Output = io::Result<()>> + Send + 'static,
    ) -> (ServiceError, bool) {
        let mut tasks = Tasks::default();
        let (stop, drained) = (tasks.shutdown(), Arc::new(AtomicBool::new(false)));
        let seen = drained.clone();
        tasks.add("healthy", async move {
            stop.cancelled().await;
            tokio::task::yield_now().await;
            drained.store(true, Ordering::Relaxed);
            io::Result::Ok(())
        });
        tasks.add("sick", sick);
        let error = tasks.run(CancellationToken::new(), SOON).await.unwrap_err();
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
        let mut tasks = Tasks::default();
        tasks.add("short", async { io::Result::Ok(()) });
        assert!(matches!(
            tasks.run(CancellationToken::new(), SOON).await,
            Err(ServiceError::Ended("short"))
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_stop_is_abandoned() {
        let mut tasks = Tasks::default();
        tasks.add("stubborn", std::future::pending::<io::Result<()>>());
        assert!(matches!(tasks.run(stopped(), SOON).await, Err(ServiceError::Timeout(_))));
    }
}
