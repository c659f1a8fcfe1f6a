//! Retries while a server is unavailable.

use std::time::Duration;

use service_kit::config::number_in;
use service_kit::retry::outage::Outage;
use tokio::time::Instant;

/// Retries `attempt` until it succeeds, until `is_transient` rejects its error, or until `max_wait` has
/// elapsed.
pub(crate) async fn wait_for<T, E: std::error::Error + 'static>(
    mut outage: Outage,
    max_wait: Duration,
    is_transient: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + max_wait;
    loop {
        match attempt().await {
            Ok(value) => {
                outage.over();
                return Ok(value);
            }
            Err(error) if is_transient(&error) && Instant::now() < deadline => {
                let wait = outage.failed(&error);
                tokio::time::sleep(wait.min(deadline.saturating_duration_since(Instant::now())))
                    .await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Parses a wait in seconds.
pub(crate) fn parse_wait(text: &str) -> Result<u64, String> {
    number_in(text, 0..=86_400)
}
