//! The schedule of a run, made from its seed.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::Row;
use crate::fault::Action;
use crate::system::Settings;

/// An action at a moment.
#[derive(Clone, Debug)]
pub struct Step {
    /// When it begins at the earliest, since the begin of the load.
    pub at: Duration,
    /// What is done.
    pub action: Action,
}

/// How a row runs.
#[derive(Debug)]
pub struct Plan {
    /// The settings of the system.
    pub settings: Settings,
    /// The steps. Each begins when the one before is over.
    pub steps: Vec<Step>,
    /// Percent of the orders that two clients cancel; `None` for the usual mixture.
    pub cancels: Option<u32>,
    /// Whether the committed offsets are read all the time.
    pub watches_offsets: bool,
    /// How long load and faults last, in seconds.
    pub seconds: u64,
    /// What the seed decides.
    pub dice: StdRng,
}

impl Plan {
    /// The plan of a row.
    pub fn of(row: &Row, seed: u64, seconds: u64) -> Self {
        let mut plan = Self {
            settings: Settings::default(),
            steps: Vec::new(),
            cancels: None,
            watches_offsets: false,
            seconds,
            dice: StdRng::seed_from_u64(seed),
        };
        (row.plan)(&mut plan);
        plan
    }

    /// Adds an action at a second of the run.
    pub fn at(&mut self, second: u64, action: Action) {
        self.steps.push(Step { at: Duration::from_secs(second), action });
    }

    /// Adds actions at regular intervals, in an order that the seed decides, and again from the
    /// first if there is time. The last one leaves time to recover.
    pub fn every(&mut self, seconds: u64, mut actions: Vec<Action>) {
        actions.shuffle(&mut self.dice);
        let mut actions = actions.into_iter().cycle();
        let mut at = 2;
        while at + seconds <= self.seconds {
            if let Some(action) = actions.next() {
                self.at(at, action);
            }
            at += seconds;
        }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.dice.random_range(0..bound)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>5} s  {}", self.at.as_secs(), self.action)
    }
}
