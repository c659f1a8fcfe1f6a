//! Waits for a condition, with a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Long enough for a slow and busy machine: a delay of a minute has been observed.
const DEADLINE: Duration = Duration::from_mins(3);
const INTERVAL: Duration = Duration::from_millis(20);

/// Polls until `poll` returns a value, and returns that value. Panics with `what` after three
/// minutes.
pub async fn eventually<T>(what: &str, poll: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, poll).await
}

/// Polls like [`eventually`], with another timeout.
pub async fn eventually_within<T>(
    timeout: Duration,
    what: &str,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(found) = poll().await {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out after {timeout:?}: {what}");
        sleep(INTERVAL).await;
    }
}
