//! An outage of something that a loop needs: logged when it begins and when it ends, with random
//! waits below growing bounds between the attempts.

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Chain;
use crate::convert::millis;
use crate::retry::RetrySchedule;

/// The state of one dependency as one loop sees it.
#[derive(Debug)]
pub struct Outage {
    dependency: &'static str,
    since: Option<Instant>,
    schedule: RetrySchedule,
    /// How many of the loops that share the dependency are in the outage.
    seen_by: Arc<AtomicUsize>,
}

impl Outage {
    /// A dependency that is available.
    pub fn of(dependency: &'static str) -> Self {
        let schedule = RetrySchedule::default();
        Self { dependency, since: None, schedule, seen_by: Arc::default() }
    }

    /// The same dependency for another loop. Each loop has its own waits; the outage is logged
    /// once.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { seen_by: self.seen_by.clone(), ..Self::of(self.dependency) }
    }

    /// Records a failure, logs it if it begins an outage, and returns the wait before the next
    /// attempt.
    pub fn failed(&mut self, error: &(dyn Error + 'static)) -> Duration {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            if self.seen_by.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(dependency = self.dependency, error = %Chain(error), "unavailable, waiting for it");
            }
        }
        self.schedule.next_wait()
    }

    /// Records a success, and logs it if it ends an outage.
    pub fn over(&mut self) {
        if let Some(since) = self.since.take() {
            self.schedule.reset();
            if self.seen_by.fetch_sub(1, Ordering::Relaxed) == 1 {
                let outage_ms = millis(since.elapsed());
                tracing::info!(dependency = self.dependency, outage_ms, "available again");
            }
        }
    }

    /// Records a failure as [`Self::failed`] does, and waits until the next attempt or `shutdown`.
    pub fn wait<'s>(
        &mut self,
        error: &(dyn Error + 'static),
        shutdown: &'s CancellationToken,
    ) -> impl Future<Output = ()> + use<'s> {
        let wait = self.failed(error);
        async move {
            shutdown.run_until_cancelled(sleep(wait)).await;
        }
    }

    /// Repeats a step until `shutdown`, which interrupts the pauses but no step. A step returns the
    /// pause before the next one.
    pub async fn repeat<F, E>(
        mut self,
        shutdown: CancellationToken,
        mut step: impl FnMut() -> F,
    ) -> Result<(), Infallible>
    where
        F: Future<Output = Result<Duration, E>>,
        E: Error + 'static,
    {
        while !shutdown.is_cancelled() {
            match step().await {
                Ok(pause) => {
                    self.over();
                    shutdown.run_until_cancelled(sleep(pause)).await;
                }
                Err(error) => self.wait(&error, &shutdown).await,
            }
        }
        Ok(())
    }

    /// Connects, and works on the connection until it fails. Then does so again, until `shutdown`,
    /// which interrupts both.
    pub async fn reconnect<C, F, G, E>(
        mut self,
        shutdown: CancellationToken,
        mut connect: impl FnMut() -> F,
        mut work: impl FnMut(C) -> G,
    ) -> Result<(), Infallible>
    where
        F: Future<Output = Result<C, E>>,
        G: Future<Output = Result<Infallible, E>>,
        E: Error + 'static,
    {
        loop {
            let session = async {
                let connection = connect().await?;
                self.over();
                work(connection).await
            };
            let Some(Err(error)) = shutdown.run_until_cancelled(session).await else {
                return Ok(());
            };
            self.wait(&error, &shutdown).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::io;

    use super::*;
    use crate::retry::LONGEST_WAIT;

    #[tokio::test(start_paused = true)]
    async fn a_failed_step_is_repeated_until_the_shutdown() {
        let shutdown = CancellationToken::new();
        let begun = tokio::time::Instant::now();
        let mut steps = 0;
        let repeated = Outage::of("test").repeat(shutdown.clone(), || {
            steps += 1;
            if steps == 3 {
                shutdown.cancel();
            }
            ready(match steps {
                1 => Ok(Duration::from_mins(1)),
                2 => Err(io::Error::other("unavailable")),
                _ => Ok(Duration::from_hours(1)),
            })
        });
        let Ok(()) = repeated.await;
        assert_eq!(steps, 3);
        let waited = begun.elapsed();
        let pause = Duration::from_mins(1);
        assert!((pause..=pause + LONGEST_WAIT).contains(&waited), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_replaced_until_the_shutdown_interrupts_the_work() {
        let shutdown = CancellationToken::new();
        let mut connections = 0;
        let connect = || {
            connections += 1;
            ready(
                if connections == 2 { Err("refused") } else { Ok(connections) }
                    .map_err(io::Error::other),
            )
        };
        let work = async |connection| {
            if connection == 1 {
                return Err(io::Error::other("connection closed"));
            }
            shutdown.cancel();
            pending().await
        };
        let Ok(()) = Outage::of("test").reconnect(shutdown.clone(), connect, work).await;
        assert_eq!(connections, 3);
    }
}
