//! The loops of a service: started together, stopped together, and none dies unseen.

use std::io;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
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

/// For what runs to the end, once everything else has ended.
const LAST: Duration = Duration::from_secs(2);

type Set = JoinSet<(&'static str, Outcome)>;

/// A service's loops, and the order in which they stop.
///
/// First comes the signal, and nothing but word of it gets around: the service is not ready any more. After a delay, for
/// a service that has one, intake ends and work drains. What tells of the service itself goes last.
#[derive(Debug)]
pub struct Tasks {
    set: Set,
    last: Set,
    asked: CancellationToken,
    delay: Duration,
    shutdown: CancellationToken,
    end: CancellationToken,
}

impl Tasks {
    /// None yet. `asked` is how the service is told to stop.
    pub fn new(asked: CancellationToken) -> Self {
        Self {
            set: JoinSet::new(),
            last: JoinSet::new(),
            asked,
            delay: Duration::ZERO,
            shutdown: CancellationToken::new(),
            end: CancellationToken::new(),
        }
    }

    /// Goes on for so long after it was told to stop, while others find out that it will.
    #[must_use]
    pub fn delayed(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Cancelled as soon as the service is told to stop.
    pub fn asked(&self) -> CancellationToken {
        self.asked.clone()
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

    /// Starts a loop that runs until all those of [`Tasks::spawn`] have ended, which its own signal tells.
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

    /// Waits until the service is told to stop, or for the first loop that ends without it; then stops all of them, and
    /// waits for `deadline` at most.
    pub async fn join(mut self, deadline: Duration) -> Result<(), ServiceError> {
        let asked = self.asked.clone();
        let mut verdict = self.until(asked.cancelled()).await;
        // Whatever ends it, nothing new should come.
        self.asked.cancel();
        if verdict.is_ok() && !self.delay.is_zero() {
            let delay = tokio::time::sleep(self.delay);
            verdict = self.until(delay).await;
        }
        self.shutdown.cancel();
        let drained = timeout(deadline, drain(&mut self.set)).await;
        self.end.cancel();
        let ended = timeout(LAST, drain(&mut self.last)).await;
        verdict
            .and(drained.unwrap_or(Err(ServiceError::Timeout(deadline))))
            .and(ended.unwrap_or(Err(ServiceError::Timeout(LAST))))
    }

    /// Waits for `moment`; any loop that ends before it is a failure.
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
    async fn a_shutdown_lets_every_task_finish() {
        let mut tasks = Tasks::new(CancellationToken::new());
        let stop = tasks.shutdown();
        tasks.spawn("loop", async move {
            stop.cancelled().await;
            io::Result::Ok(())
        });
        tasks.asked().cancel();
        assert!(tasks.join(SOON).await.is_ok());
    }

    /// Notes the moment at which a signal came.
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
    async fn word_gets_around_then_intake_ends_then_work_drains_then_the_last_one_goes() {
        let mut tasks = Tasks::new(CancellationToken::new()).delayed(Duration::from_secs(3));
        let noted = Arc::default();
        let word = noting("asked", tasks.asked(), &noted);
        tokio::spawn(word);
        let intake = noting("shutdown", tasks.shutdown(), &noted);
        tasks.spawn("intake", intake);
        tasks.spawn_last("management", |end| noting("end", end, &noted));
        tasks.asked().cancel();
        assert!(tasks.join(SOON).await.is_ok());
        let at = |name, seconds| (name, Duration::from_secs(seconds));
        assert_eq!(*noted.lock().unwrap(), [at("asked", 0), at("shutdown", 3), at("end", 4)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_during_the_delay_is_a_failure_and_ends_it() {
        let mut tasks = Tasks::new(CancellationToken::new()).delayed(SOON);
        let asked = tasks.asked();
        tasks.spawn("short", async move {
            asked.cancelled().await;
            io::Result::Ok(())
        });
        tasks.asked().cancel();
        let begun = tokio::time::Instant::now();
        assert!(matches!(tasks.join(SOON).await, Err(ServiceError::Ended("short"))));
        assert_eq!(begun.elapsed(), Duration::ZERO);
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
        tasks.asked().cancel();
        assert!(matches!(tasks.join(SOON).await, Err(ServiceError::Timeout(_))));
    }
}
