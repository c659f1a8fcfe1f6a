//! Readiness: whether a service can do its next piece of work.
//!
//! Dependencies are probed at an interval, not per request. A single probe changes nothing: a lost
//! packet must not remove an instance, and a flapping database must not make readiness flap. The
//! result changes after a number of consecutive probes with the opposite result. After startup, the
//! first successful probe is enough.

pub(crate) mod healthcheck;
pub mod heartbeat;
pub(crate) mod management;

use std::collections::BTreeMap;
use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conf::Conf;
use futures::future::join_all;

use crate::Chain;
use crate::config::{timeout_millis, within};

/// Why a dependency is unavailable.
pub type ProbeError = Box<dyn Error + Send + Sync>;

/// One probe of a dependency.
pub type ProbeFuture = Pin<Box<dyn Future<Output = Result<(), ProbeError>> + Send>>;

type Probe = Arc<dyn Fn() -> ProbeFuture + Send + Sync>;

/// A probe that takes longer has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval and thresholds of the readiness probes.
#[derive(Clone, Copy, Debug, Conf)]
pub struct ReadinessSettings {
    /// Interval between two readiness probes of a dependency, in milliseconds
    #[conf(env, default_value = "2000", value_parser = timeout_millis)]
    pub readiness_interval: Duration,

    /// Number of consecutive failed probes after which a ready service becomes not ready
    #[conf(env, default_value = "3", value_parser = within(1..=100))]
    pub readiness_failures: u32,

    /// Number of consecutive successful probes after which the service becomes ready again
    #[conf(env, default_value = "2", value_parser = within(1..=100))]
    pub readiness_successes: u32,
}

/// Named checks; a service is ready when all of them hold. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Readiness {
    settings: ReadinessSettings,
    probes: BTreeMap<&'static str, Probe>,
    checks: Arc<Mutex<BTreeMap<&'static str, Check>>>,
}

/// The state of one check.
#[derive(Clone, Debug, Default)]
struct Check {
    holds: bool,
    /// The error of the last failed probe.
    reason: Option<String>,
    /// Whether the check has ever held.
    has_held: bool,
    /// Number of consecutive probes, up to the last one, whose result differs from `holds`.
    opposite: u32,
}

impl Check {
    fn observe(&mut self, sample: Result<(), String>, settings: &ReadinessSettings) {
        let holds = sample.is_ok();
        if let Err(reason) = sample {
            self.reason = Some(reason);
        }
        if holds == self.holds {
            self.opposite = 0;
            return;
        }
        self.opposite += 1;
        let enough = match (holds, self.has_held) {
            (false, _) => settings.readiness_failures,
            (true, true) => settings.readiness_successes,
            (true, false) => 1,
        };
        if self.opposite >= enough {
            self.holds = holds;
            self.has_held |= holds;
            self.opposite = 0;
        }
    }
}

impl Readiness {
    /// Readiness without checks.
    pub(crate) fn new(settings: ReadinessSettings) -> Self {
        Self { settings, probes: BTreeMap::new(), checks: Arc::default() }
    }

    /// Adds a dependency. It counts as unavailable until its first probe.
    pub(crate) fn probe<F, Fut>(&mut self, name: &'static str, probe: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ProbeError>> + Send + 'static,
    {
        self.checks().insert(name, Check::default());
        self.probes.insert(name, Arc::new(move || Box::pin(probe())));
    }

    /// Whether each check holds, by its name.
    pub(crate) fn report(&self) -> BTreeMap<&'static str, bool> {
        self.checks().iter().map(|(name, check)| (*name, check.holds)).collect()
    }

    /// The error of the last failed probe of each check that does not hold; none before the first
    /// probe.
    pub(crate) fn reasons(&self) -> BTreeMap<&'static str, String> {
        let checks = self.checks();
        let lacking = checks.iter().filter(|(_, check)| !check.holds);
        lacking.filter_map(|(name, check)| Some((*name, check.reason.clone()?))).collect()
    }

    /// Runs all probes concurrently.
    pub(crate) async fn sample(&self) {
        let samples = self.probes.iter().map(async |(name, probe)| {
            let sample = match tokio::time::timeout(PROBE_TIMEOUT, probe()).await {
                Ok(sample) => sample.map_err(|error| Chain(&*error).to_string()),
                Err(_) => Err(format!("no response within {PROBE_TIMEOUT:?}")),
            };
            (*name, sample)
        });
        for (name, sample) in join_all(samples).await {
            self.checks().entry(name).or_default().observe(sample, &self.settings);
        }
    }

    /// Interval between two probes.
    pub(crate) fn interval(&self) -> Duration {
        self.settings.readiness_interval
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<&'static str, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    pub(crate) fn defaults() -> ReadinessSettings {
        ReadinessSettings::try_parse_from(["service"], [("", ""); 0]).unwrap()
    }

    /// Readiness with one dependency, and whether the dependency is available.
    pub(crate) fn with_a_database() -> (Readiness, Arc<AtomicBool>) {
        let up = Arc::new(AtomicBool::new(true));
        let asked = up.clone();
        let probe = move || {
            let up = asked.load(Ordering::Relaxed);
            std::future::ready(if up { Ok(()) } else { Err("it is down".into()) })
        };
        let mut readiness = Readiness::new(defaults());
        readiness.probe("postgres", probe);
        (readiness, up)
    }

    /// The state of the check after each of these probes.
    async fn reports_after(samples: &[bool]) -> Vec<bool> {
        let (readiness, up) = with_a_database();
        let mut report = Vec::new();
        for sample in samples {
            up.store(*sample, Ordering::Relaxed);
            readiness.sample().await;
            report.push(readiness.report()["postgres"]);
        }
        report
    }

    #[tokio::test]
    async fn a_check_holds_after_its_first_successful_probe() {
        assert!(!with_a_database().0.report()["postgres"]);
        assert_eq!(reports_after(&[false, false, true]).await, [false, false, true]);
    }

    #[tokio::test]
    async fn one_or_two_failed_probes_do_not_end_readiness() {
        assert_eq!(reports_after(&[true, false, false, true, false, false]).await, [true; 6]);
    }

    #[tokio::test]
    async fn readiness_ends_after_three_failures_and_returns_after_two_successes() {
        let samples = [true, false, false, false, true, true];
        assert_eq!(reports_after(&samples).await, [true, true, true, false, false, true]);
    }

    #[tokio::test]
    async fn a_flapping_dependency_does_not_flap_readiness() {
        let mut samples = vec![true];
        samples.extend([false, true].repeat(10));
        assert_eq!(reports_after(&samples).await, [true; 21]);
        let mut samples = vec![true, false, false, false];
        samples.extend([true, false].repeat(10));
        assert!(reports_after(&samples).await[3..].iter().all(|report| !report));
    }

    #[tokio::test]
    async fn the_reason_is_cleared_when_the_check_holds_again() {
        let (readiness, up) = with_a_database();
        let mut reasons = Vec::new();
        for sample in [false, true, false, false, false, true, true] {
            up.store(sample, Ordering::Relaxed);
            readiness.sample().await;
            reasons.push(readiness.reasons().contains_key("postgres"));
        }
        // A single failed or successful probe changes nothing.
        assert_eq!(reasons, [true, false, false, false, true, true, false]);
    }

    #[tokio::test]
    async fn each_check_is_reported_separately() {
        let mut readiness = Readiness::new(defaults());
        readiness.probe("postgres", || std::future::ready(Ok(())));
        readiness.probe("kafka", || std::future::ready(Err("it is down".into())));
        assert_eq!(readiness.reasons(), BTreeMap::new());
        readiness.sample().await;
        assert_eq!(readiness.report(), BTreeMap::from([("kafka", false), ("postgres", true)]));
        assert_eq!(readiness.reasons(), BTreeMap::from([("kafka", "it is down".to_owned())]));
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_probes_fail_concurrently() {
        let mut readiness = Readiness::new(defaults());
        readiness.probe("kafka", std::future::pending);
        readiness.probe("postgres", std::future::pending);
        let begun = tokio::time::Instant::now();
        readiness.sample().await;
        assert_eq!(readiness.report(), BTreeMap::from([("kafka", false), ("postgres", false)]));
        assert_eq!(begun.elapsed(), PROBE_TIMEOUT);
        assert_eq!(readiness.reasons()["kafka"], "no response within 1s");
    }
}
