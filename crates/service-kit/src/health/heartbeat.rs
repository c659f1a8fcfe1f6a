//! Whether a loop makes progress.
//!
//! A service can be connected and ready and still do nothing, because one of its loops waits for an
//! event that never comes. Only a restart helps then, so `/livez` reports it. An outage does not
//! stall a loop: each retry is a step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The value of [`Inner::last`] while a loop is idle.
const RESTING: u64 = u64::MAX;

/// The liveness of one loop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Heartbeat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    limit: Duration,
    begun: Instant,
    /// Milliseconds since `begun`, or [`RESTING`].
    last: AtomicU64,
}

impl Heartbeat {
    /// The loop is alive if it beats within `limit`, which must exceed the longest time it may
    /// wait.
    pub fn new(name: &'static str, limit: Duration) -> Self {
        Self(Arc::new(Inner { name, limit, begun: Instant::now(), last: AtomicU64::new(0) }))
    }

    /// Records a step of the loop.
    pub fn beat(&self) {
        self.0.last.store(self.now(), Ordering::Relaxed);
    }

    /// Marks the loop as idle: it waits for work or for a time. Until it beats again, it counts as
    /// alive, however long it is silent.
    pub fn rest(&self) {
        self.0.last.store(RESTING, Ordering::Relaxed);
    }

    /// The loop's name.
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Whether the last step is recent enough.
    pub fn is_alive(&self) -> bool {
        self.silence() <= self.0.limit
    }

    /// Time since the last step; 0 while the loop is idle.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.0.last.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_loop_is_alive_as_long_as_it_beats() {
        let heart = Heartbeat::new("loop", Duration::from_secs(10));
        for _ in 0..3 {
            advance(Duration::from_secs(10)).await;
            assert!(heart.is_alive());
            heart.beat();
        }
        advance(Duration::from_millis(10_001)).await;
        assert!(!heart.is_alive());
        heart.beat();
        assert!(heart.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_loop_is_alive() {
        let heart = Heartbeat::new("loop", Duration::from_secs(10));
        heart.rest();
        advance(Duration::from_hours(1)).await;
        assert!(heart.is_alive());
        assert_eq!(heart.silence(), Duration::ZERO);
        heart.beat();
        advance(Duration::from_millis(10_001)).await;
        assert!(!heart.is_alive());
    }
}
