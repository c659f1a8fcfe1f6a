//! Whether a service can do its next piece of work.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// A check that takes longer than this has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Named checks; a service is ready when all of them hold.
#[derive(Clone, Default)]
pub struct Readiness {
    probes: BTreeMap<&'static str, Probe>,
}

impl Readiness {
    /// Adds a check that asks when it is asked.
    #[must_use]
    pub fn probe<F, Fut>(mut self, name: &'static str, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.probes.insert(name, Arc::new(move || Box::pin(probe())));
        self
    }

    /// Runs every check.
    pub async fn check(&self) -> BTreeMap<&'static str, bool> {
        let mut results = BTreeMap::new();
        for (name, probe) in &self.probes {
            let holds = tokio::time::timeout(PROBE_TIMEOUT, probe()).await.unwrap_or(false);
            results.insert(*name, holds);
        }
        results
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.probes.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn every_check_is_asked_each_time() {
        let kafka = Arc::new(AtomicBool::new(false));
        let asked = kafka.clone();
        let readiness = Readiness::default()
            .probe("postgres", || std::future::ready(true))
            .probe("kafka", move || std::future::ready(asked.load(Ordering::Relaxed)));
        assert_eq!(readiness.check().await, BTreeMap::from([("kafka", false), ("postgres", true)]));
        kafka.store(true, Ordering::Relaxed);
        assert_eq!(readiness.check().await, BTreeMap::from([("kafka", true), ("postgres", true)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed() {
        let readiness = Readiness::default().probe("postgres", std::future::pending);
        assert_eq!(readiness.check().await, BTreeMap::from([("postgres", false)]));
    }
}
