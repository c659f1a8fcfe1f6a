//! Whether a consumer makes progress, for its readiness endpoint.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use service_kit::Chain;
use service_kit::health::ProbeFuture;
use tokio::time::Instant;

/// A batch that waits longer fails the readiness check.
const LIMIT: Duration = Duration::from_secs(30);

/// Why the current batch waits, and since when. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress(Arc<Mutex<Option<Waiting>>>);

#[derive(Debug)]
struct Waiting {
    since: Instant,
    reason: String,
}

/// A readiness check that failed.
#[derive(Debug, thiserror::Error)]
#[error("no record was processed for {} seconds: {reason}", .waited.as_secs())]
struct NoProgress {
    waited: Duration,
    reason: String,
}

impl Progress {
    /// The current batch waits because of `error`.
    pub(super) fn waits_for(&self, error: &(dyn Error + 'static)) {
        let mut waiting = self.lock();
        let since = waiting.as_ref().map_or_else(Instant::now, |waiting| waiting.since);
        *waiting = Some(Waiting { since, reason: Chain(error).to_string() });
    }

    /// A batch is done.
    pub(super) fn made(&self) {
        *self.lock() = None;
    }

    /// A readiness check.
    pub(super) fn probe(&self) -> impl Fn() -> ProbeFuture + Send + Sync + use<> {
        let progress = self.clone();
        move || {
            let checked = progress.check();
            async move { Ok(checked?) }.boxed()
        }
    }

    fn check(&self) -> Result<(), NoProgress> {
        match &*self.lock() {
            Some(Waiting { since, reason }) if since.elapsed() > LIMIT => {
                Err(NoProgress { waited: since.elapsed(), reason: reason.clone() })
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_waits_too_long_fails_the_readiness_check() {
        let progress = Progress::default();
        let ready = async || progress.probe()().await.is_ok();
        assert!(ready().await);
        progress.waits_for(&io::Error::other("unavailable"));
        advance(LIMIT).await;
        assert!(ready().await);
        progress.waits_for(&io::Error::other("still unavailable"));
        advance(Duration::from_secs(1)).await;
        let error = progress.probe()().await.unwrap_err();
        assert_eq!(error.to_string(), "no record was processed for 31 seconds: still unavailable");
        progress.made();
        assert!(ready().await);
    }
}
