//! What became of the requests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::orders::Order;
use super::schedule::{Schedule, Turn};
use crate::failure::Failure;
use crate::latency::{Latencies, Tail};

/// No answer came: no connection, a broken one, or too long a wait.
pub(crate) const TRANSPORT: &str = "transport";
/// Due in time, but no connection became free until long after the end.
const UNSENT: &str = "unsent";
/// An order that had been placed was placed again: its key did not protect it.
const NOT_REPLAYED: &str = "not-replayed";

/// How one request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The order was accepted.
    Created,
    /// The order had been accepted before; this is the first answer again.
    Replayed,
    /// The `code` of the problem, or [`TRANSPORT`].
    Failed(String),
}

/// Counts what is measured and leaves out what warms up.
pub(crate) struct Tally {
    begins: Duration,
    last_answer: Duration,
    requests: u64,
    succeeded: u64,
    replayed: u64,
    errors: BTreeMap<String, u64>,
    /// Of the requests that succeeded: a refusal can be quick.
    latencies: Latencies,
}

impl Tally {
    pub(crate) fn new(schedule: &Schedule) -> Result<Self, Failure> {
        Ok(Self {
            begins: schedule.warm_up(),
            last_answer: Duration::ZERO,
            requests: 0,
            succeeded: 0,
            replayed: 0,
            errors: BTreeMap::new(),
            latencies: Latencies::new()?,
        })
    }

    /// Counts one request that has ended now.
    pub(crate) fn ended(&mut self, turn: Turn, order: Order, outcome: Outcome, now: Duration) {
        if !turn.counted {
            return;
        }
        self.requests += 1;
        self.last_answer = now;
        match outcome {
            Outcome::Failed(code) => self.failed(code, 1),
            Outcome::Created if order.repeat => self.failed(NOT_REPLAYED.to_owned(), 1),
            Outcome::Created | Outcome::Replayed => {
                self.succeeded += 1;
                self.replayed += u64::from(outcome == Outcome::Replayed);
                self.latencies.record(now.saturating_sub(turn.due));
            }
        }
    }

    /// Counts what was due and never sent.
    pub(crate) fn left_over(&mut self, requests: u64) {
        self.requests += requests;
        if requests > 0 {
            self.failed(UNSENT.to_owned(), requests);
        }
    }

    fn failed(&mut self, code: String, requests: u64) {
        *self.errors.entry(code).or_default() += requests;
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    pub(crate) fn succeeded(&self) -> u64 {
        self.succeeded
    }

    pub(crate) fn replayed(&self) -> u64 {
        self.replayed
    }

    pub(crate) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    pub(crate) fn latency(&self) -> Option<Tail> {
        self.latencies.tail()
    }

    /// How long the measuring took: longer than was planned when the last answers came late.
    pub(crate) fn took(&self, planned: Duration) -> Duration {
        self.last_answer.saturating_sub(self.begins).max(planned)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::super::schedule::Pace;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NEW: Order = Order { number: 1, repeat: false };
    const REPEAT: Order = Order { number: 1, repeat: true };

    fn turn(due_ms: u64) -> Turn {
        let due = Duration::from_millis(due_ms);
        Turn { due, counted: due >= SECOND }
    }

    fn tally() -> Tally {
        let pace = Pace::PerSecond(NonZeroU32::MIN);
        Tally::new(&Schedule::new(pace, SECOND, SECOND)).unwrap()
    }

    #[test]
    fn a_request_that_waited_for_a_connection_is_late_from_when_it_was_due() {
        let mut tally = tally();
        tally.ended(turn(1000), NEW, Outcome::Created, Duration::from_millis(1800));
        tally.ended(turn(1100), NEW, Outcome::Created, Duration::from_millis(1802));
        let latency = tally.latency().unwrap();
        assert!((latency.p50_ms - 702.0).abs() < 1.0, "{latency:?}");
        assert!((latency.max_ms - 800.0).abs() < 1.0, "{latency:?}");
    }

    #[test]
    fn every_request_is_a_success_or_an_error() {
        let mut tally = tally();
        let overloaded = || Outcome::Failed("OVERLOADED".to_owned());
        for (order, outcome) in [
            (NEW, Outcome::Created),
            (REPEAT, Outcome::Replayed),
            (REPEAT, Outcome::Created),
            (NEW, overloaded()),
            (NEW, overloaded()),
        ] {
            tally.ended(turn(1000), order, outcome, SECOND);
        }
        tally.left_over(7);
        assert_eq!((tally.requests(), tally.succeeded(), tally.replayed()), (12, 2, 1));
        let errors: Vec<_> = tally.errors().iter().map(|(code, n)| (code.as_str(), *n)).collect();
        assert_eq!(errors, [("OVERLOADED", 2), ("not-replayed", 1), ("unsent", 7)]);
    }

    #[test]
    fn what_warms_up_is_not_counted() {
        let mut tally = tally();
        tally.ended(turn(999), NEW, Outcome::Created, SECOND);
        assert_eq!((tally.requests(), tally.latency()), (0, None));
    }

    #[test]
    fn late_answers_lengthen_the_time_that_the_rate_is_taken_over() {
        let mut tally = tally();
        assert_eq!(tally.took(SECOND), SECOND);
        tally.ended(turn(1900), NEW, Outcome::Created, Duration::from_millis(3500));
        assert_eq!(tally.took(SECOND), Duration::from_millis(2500));
    }
}
