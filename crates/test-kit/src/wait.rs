//! Waiting for a condition, with an end to it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A condition that doesn't come true by then never will, on a slow and busy machine either: one that was held up for a
/// minute has been seen.
const DEADLINE: Duration = Duration::from_mins(3);
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks again and again until `look` finds something, and returns it. Panics with `what` when it never does.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look).await
}

/// The same with a deadline of its own.
pub async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        sleep(INTERVAL).await;
    }
}
