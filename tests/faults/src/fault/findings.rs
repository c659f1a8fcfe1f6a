//! What is noted while faults are injected.

use std::time::Duration;

use crate::evidence::Poison;
use crate::journal::Journal;

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Fault {
    /// What it was.
    pub what: String,
    /// When it began, since the begin of the run.
    pub from: Duration,
    /// The moment from which the recovery counts: that of a kill, or the end of an outage.
    pub recovers_from: Duration,
}

/// The notes of a run.
#[derive(Debug)]
pub struct Findings {
    journal: Journal,
    /// The faults so far.
    pub faults: Vec<Fault>,
    /// Measured values, by name. A name can occur more than once.
    pub facts: Vec<(&'static str, f64)>,
    /// The poison so far.
    pub poison: Vec<Poison>,
    /// Whether the topics lost records on purpose.
    pub topics_were_cut: bool,
    latest_kill: Option<Duration>,
}

impl Findings {
    /// Nothing is noted yet.
    pub fn new(journal: &Journal) -> Self {
        Self {
            journal: journal.clone(),
            faults: Vec::new(),
            facts: Vec::new(),
            poison: Vec::new(),
            topics_were_cut: false,
            latest_kill: None,
        }
    }

    /// The time since the begin of the run.
    pub fn now(&self) -> Duration {
        self.journal.now()
    }

    /// The journal of the clients.
    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Notes a measured value.
    pub fn note(&mut self, name: &'static str, value: f64) {
        self.facts.push((name, value));
    }

    /// The largest value under this name.
    pub fn largest(&self, name: &str) -> Option<f64> {
        let values = self.facts.iter().filter(|fact| fact.0 == name).map(|fact| fact.1);
        values.reduce(f64::max)
    }

    /// The sum of the values under this name.
    pub fn sum(&self, name: &str) -> f64 {
        self.facts.iter().filter(|fact| fact.0 == name).map(|fact| fact.1).sum()
    }

    /// Notes that a process is killed now.
    pub(super) fn killed(&mut self) {
        self.latest_kill = Some(self.now());
    }

    /// The time of the latest kill, or `otherwise`.
    pub(super) fn latest_kill(&self, otherwise: Duration) -> Duration {
        self.latest_kill.filter(|kill| *kill > otherwise).unwrap_or(otherwise)
    }
}
