//! Something that a loop needs is away: say so once, wait longer and longer, say once when it is back.

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
    /// How many loops see it, of those that share the dependency.
    seen_by: Arc<AtomicUsize>,
}

impl Outage {
    /// Nothing is wrong yet.
    pub fn of(dependency: &'static str) -> Self {
        let schedule = RetrySchedule::default();
        Self { dependency, since: None, schedule, seen_by: Arc::default() }
    }

    /// The same dependency as another loop sees it: each waits for itself, and the outage is logged once for all.
    #[must_use]
    pub fn shared(&self) -> Self {
        Self { seen_by: self.seen_by.clone(), ..Self::of(self.dependency) }
    }

    /// Notes a failure, logs it if it is the first, and returns how long to wait before the next try.
    pub fn failed(&mut self, error: &(dyn Error + 'static)) -> Duration {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            if self.seen_by.fetch_add(1, Ordering::Relaxed) == 0 {
                tracing::warn!(dependency = self.dependency, error = %Chain(error), "unavailable, waiting for it");
            }
        }
        self.schedule.next_wait()
    }

    /// Notes a success, and logs it if it ends an outage.
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
