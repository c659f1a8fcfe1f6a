//! Whether a service can do its next piece of work.
//!
//! What it needs is looked at all the time, not when somebody asks, and one look decides nothing: a lost packet would
//! take an instance away, and a database that comes and goes would have it come and go as often. Only so many looks in a
//! row that say otherwise change what is told. The first one that succeeds is enough, for a service that has just started.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use conf::Conf;
use futures::future::join_all;

use crate::Chain;
use crate::config::{number_in, timeout_millis};

/// Why something that is needed is not there.
pub type ProbeError = Box<dyn Error + Send + Sync>;

/// One look at something that is needed.
pub type Look = Pin<Box<dyn Future<Output = Result<(), ProbeError>> + Send>>;

type Probe = Arc<dyn Fn() -> Look + Send + Sync>;

/// A check that takes longer than this has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Interval and thresholds of the readiness probes.
#[derive(Clone, Copy, Debug, Conf)]
pub struct ReadinessSettings {
    /// Interval between two readiness probes of a dependency, in milliseconds
    #[conf(env, default_value = "2000", value_parser = timeout_millis)]
    pub readiness_interval: Duration,

    /// Number of consecutive failed probes after which a ready service becomes not ready
    #[conf(env, default_value = "3", value_parser = parse_looks)]
    pub readiness_failures: u32,

    /// Number of consecutive successful probes after which the service becomes ready again
    #[conf(env, default_value = "2", value_parser = parse_looks)]
    pub readiness_successes: u32,
}

fn parse_looks(text: &str) -> Result<u32, String> {
    number_in(text, 1..=100)
}

/// Named checks; a service is ready when all of them hold. Cheap to clone.
#[derive(Clone)]
pub struct Readiness {
    settings: ReadinessSettings,
    probes: BTreeMap<&'static str, Probe>,
    checks: Arc<Mutex<BTreeMap<&'static str, Check>>>,
}

/// What is told of one check.
#[derive(Clone, Debug, Default)]
struct Check {
    holds: bool,
    /// What the last look that failed said.
    reason: Option<String>,
    /// It has held once.
    has_held: bool,
    /// Looks in a row, up to the last one, that said otherwise.
    otherwise: u32,
}

impl Check {
    fn observe(&mut self, look: Result<(), String>, settings: &ReadinessSettings) {
        let holds = look.is_ok();
        if let Err(reason) = look {
            self.reason = Some(reason);
        }
        if holds == self.holds {
            self.otherwise = 0;
            return;
        }
        self.otherwise += 1;
        let enough = match (holds, self.has_held) {
            (false, _) => settings.readiness_failures,
            (true, true) => settings.readiness_successes,
            (true, false) => 1,
        };
        if self.otherwise >= enough {
            self.holds = holds;
            self.has_held |= holds;
            self.otherwise = 0;
        }
    }
}

impl Readiness {
    /// Nothing is needed yet.
    pub fn new(settings: ReadinessSettings) -> Self {
        Self { settings, probes: BTreeMap::new(), checks: Arc::default() }
    }

    /// Adds something that is needed. Until it has been looked at, it is not there.
    #[must_use]
    pub fn probe<F, Fut>(mut self, name: &'static str, probe: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), ProbeError>> + Send + 'static,
    {
        self.checks().insert(name, Check::default());
        self.probes.insert(name, Arc::new(move || Box::pin(probe())));
        self
    }

    /// What is told, by check.
    pub fn told(&self) -> BTreeMap<&'static str, bool> {
        self.checks().iter().map(|(name, check)| (*name, check.holds)).collect()
    }

    /// Why those that don't hold don't, in the words of the last look; nothing before the first.
    pub fn reasons(&self) -> BTreeMap<&'static str, String> {
        let checks = self.checks();
        let lacking = checks.iter().filter(|(_, check)| !check.holds);
        lacking.filter_map(|(name, check)| Some((*name, check.reason.clone()?))).collect()
    }

    /// Looks at everything, all at once.
    pub async fn look(&self) {
        let looks = self.probes.iter().map(async |(name, probe)| {
            let look = match tokio::time::timeout(PROBE_TIMEOUT, probe()).await {
                Ok(look) => look.map_err(|error| Chain(&*error).to_string()),
                Err(_) => Err(format!("no answer within {PROBE_TIMEOUT:?}")),
            };
            (*name, look)
        });
        for (name, look) in join_all(looks).await {
            self.checks().entry(name).or_default().observe(look, &self.settings);
        }
    }

    /// Between two looks.
    pub(crate) fn interval(&self) -> Duration {
        self.settings.readiness_interval
    }

    fn checks(&self) -> MutexGuard<'_, BTreeMap<&'static str, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.told()).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    pub(crate) fn defaults() -> ReadinessSettings {
        ReadinessSettings::try_parse_from(["service"], [("", ""); 0]).unwrap()
    }

    /// Readiness with one dependency, and the switch of it.
    pub(crate) fn with_a_database() -> (Readiness, Arc<AtomicBool>) {
        let up = Arc::new(AtomicBool::new(true));
        let asked = up.clone();
        let probe = move || {
            let up = asked.load(Ordering::Relaxed);
            std::future::ready(if up { Ok(()) } else { Err("it is down".into()) })
        };
        (Readiness::new(defaults()).probe("postgres", probe), up)
    }

    /// What is told after each of these looks.
    async fn told_after(looks: &[bool]) -> Vec<bool> {
        let (readiness, up) = with_a_database();
        let mut told = Vec::new();
        for look in looks {
            up.store(*look, Ordering::Relaxed);
            readiness.look().await;
            told.push(readiness.told()["postgres"]);
        }
        told
    }

    #[tokio::test]
    async fn nothing_is_ready_before_it_was_looked_at_and_one_success_is_enough_then() {
        assert!(!with_a_database().0.told()["postgres"]);
        assert_eq!(told_after(&[false, false, true]).await, [false, false, true]);
    }

    #[tokio::test]
    async fn a_look_that_fails_once_or_twice_takes_nothing_away() {
        assert_eq!(told_after(&[true, false, false, true, false, false]).await, [true; 6]);
    }

    #[tokio::test]
    async fn readiness_goes_after_three_failures_in_a_row_and_comes_back_after_two_successes() {
        let looks = [true, false, false, false, true, true];
        assert_eq!(told_after(&looks).await, [true, true, true, false, false, true]);
    }

    #[tokio::test]
    async fn a_dependency_that_flaps_does_not_flap_readiness() {
        let mut looks = vec![true];
        looks.extend([false, true].repeat(10));
        assert_eq!(told_after(&looks).await, [true; 21]);
        let mut looks = vec![true, false, false, false];
        looks.extend([true, false].repeat(10));
        assert!(told_after(&looks).await[3..].iter().all(|told| !told));
    }

    #[tokio::test]
    async fn the_reason_is_that_of_the_last_look_and_goes_when_the_check_holds_again() {
        let (readiness, up) = with_a_database();
        let mut reasons = Vec::new();
        for look in [false, true, false, false, false, true, true] {
            up.store(look, Ordering::Relaxed);
            readiness.look().await;
            reasons.push(readiness.reasons().contains_key("postgres"));
        }
        // One look that fails takes nothing away, and one that succeeds brings nothing back.
        assert_eq!(reasons, [true, false, false, false, true, true, false]);
    }

    #[tokio::test]
    async fn each_check_is_told_for_itself() {
        let readiness = Readiness::new(defaults())
            .probe("postgres", || std::future::ready(Ok(())))
            .probe("kafka", || std::future::ready(Err("it is down".into())));
        assert_eq!(readiness.reasons(), BTreeMap::new());
        readiness.look().await;
        assert_eq!(readiness.told(), BTreeMap::from([("kafka", false), ("postgres", true)]));
        assert_eq!(readiness.reasons(), BTreeMap::from([("kafka", "it is down".to_owned())]));
    }

    #[tokio::test(start_paused = true)]
    async fn checks_that_hang_have_failed_and_hold_up_nobody() {
        let readiness = Readiness::new(defaults())
            .probe("kafka", std::future::pending)
            .probe("postgres", std::future::pending);
        let begun = tokio::time::Instant::now();
        readiness.look().await;
        assert_eq!(readiness.told(), BTreeMap::from([("kafka", false), ("postgres", false)]));
        assert_eq!(begun.elapsed(), PROBE_TIMEOUT);
        assert_eq!(readiness.reasons()["kafka"], "no answer within 1s");
    }
}
