//! Waiting for something that is still starting.

use std::time::Duration;

use service_kit::config::number_in;
use service_kit::outage::Outage;
use tokio::time::Instant;

/// Tries until it works, until the failure is one that waiting can't mend, or until the time is up.
pub(crate) async fn wait_for<T, E: std::error::Error + 'static>(
    mut outage: Outage,
    patience: Duration,
    passing: impl Fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt().await {
            Ok(value) => {
                outage.over();
                return Ok(value);
            }
            Err(error) if passing(&error) && Instant::now() < deadline => {
                let wait = outage.failed(&error);
                tokio::time::sleep(wait.min(deadline.saturating_duration_since(Instant::now())))
                    .await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads how many seconds to wait.
pub(crate) fn parse_wait(text: &str) -> Result<u64, String> {
    number_in(text, 0..=86_400)
}
