//! An outage of something that a loop needs: logged when it begins and when it ends, with growing
//! waits between the retries.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Chain;
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
                let outage_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
                tracing::info!(dependency = self.dependency, outage_ms, "available again");
            }
        }
    }
}
