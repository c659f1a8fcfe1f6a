//! Whether a loop still turns.
//!
//! A service can be up, connected and ready, and do nothing, because one of its loops waits for something that never
//! comes. Only a restart helps then, so that is what `/livez` tells. An outage is no reason: a loop that waits for
//! somebody else steps all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What [`Inner::last`] says of a loop that rests.
const RESTING: u64 = u64::MAX;

/// The sign of life of one loop. Cheap to clone.
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
    /// A loop that is alive as long as it beats within `limit`, which is longer than anything it rightly waits for.
    pub fn new(name: &'static str, limit: Duration) -> Self {
        Self(Arc::new(Inner { name, limit, begun: Instant::now(), last: AtomicU64::new(0) }))
    }

    /// The loop has made a step.
    pub fn beat(&self) {
        self.0.last.store(self.now(), Ordering::Relaxed);
    }

    /// The loop has nothing to do until somebody comes, or its time does. Until it beats again, silence is no sign.
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

    /// How long ago the last step was; nothing for a loop that rests.
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
    async fn a_loop_that_rests_is_alive_until_it_has_something_to_do() {
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
