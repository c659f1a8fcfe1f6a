//! Counts the outcomes of the requests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::replays::Order;
use super::schedule::{Schedule, Slot};
use crate::failure::Failure;
use crate::latency::{Latencies, Tail};

/// No response: no connection, a broken connection, or a timeout.
pub(crate) const TRANSPORT: &str = "transport";
/// Due in time, but no connection became free before the grace period ended.
pub(crate) const UNSENT: &str = "unsent";
/// A replay was not recognized as such: the API created the order again.
const NOT_REPLAYED: &str = "not-replayed";

/// How one request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The order was accepted.
    Created,
    /// The order had been accepted before; the response is a replay of the first one.
    Replayed,
    /// The `code` of the problem, or [`TRANSPORT`].
    Failed(String),
}

/// Counts the measured requests, without the warm-up.
pub(crate) struct Tally {
    begins: Duration,
    last_answer: Duration,
    pub(crate) requests: u64,
    pub(crate) succeeded: u64,
    pub(crate) replayed: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    /// Only of successful requests: a rejection can be fast.
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

    /// Counts a request that ended at `now`.
    pub(crate) fn ended(&mut self, slot: Slot, order: Order, outcome: Outcome, now: Duration) {
        if !slot.counted {
            return;
        }
        self.requests += 1;
        self.last_answer = now;
        match outcome {
            Outcome::Failed(code) => self.failed(code, 1),
            Outcome::Created if order.is_replay => self.failed(NOT_REPLAYED.to_owned(), 1),
            Outcome::Created | Outcome::Replayed => {
                self.succeeded += 1;
                self.replayed += u64::from(outcome == Outcome::Replayed);
                self.latencies.record(now.saturating_sub(slot.due));
            }
        }
    }

    /// Counts requests that were due and never sent.
    pub(crate) fn unsent(&mut self, requests: u64) {
        self.requests += requests;
        if requests > 0 {
            self.failed(UNSENT.to_owned(), requests);
        }
    }

    fn failed(&mut self, code: String, requests: u64) {
        *self.errors.entry(code).or_default() += requests;
    }

    pub(crate) fn latency(&self) -> Option<Tail> {
        self.latencies.tail()
    }

    /// Duration of the measurement: longer than planned if the last responses were late.
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
    const NEW: Order = Order { number: 1, is_replay: false };
    const REPLAY: Order = Order { number: 1, is_replay: true };

    fn slot(due_ms: u64) -> Slot {
        let due = Duration::from_millis(due_ms);
        Slot { due, counted: due >= SECOND }
    }

    fn tally() -> Tally {
        let pace = Pace::PerSecond(NonZeroU32::MIN);
        Tally::new(&Schedule::new(pace, SECOND, SECOND)).unwrap()
    }

    #[test]
    fn latency_includes_the_wait_for_a_connection() {
        let mut tally = tally();
        tally.ended(slot(1000), NEW, Outcome::Created, Duration::from_millis(1800));
        tally.ended(slot(1100), NEW, Outcome::Created, Duration::from_millis(1802));
        let latency = tally.latency().unwrap();
        assert!((latency.p50_ms - 702.0).abs() < 1.0, "{latency:?}");
        assert!((latency.max_ms - 800.0).abs() < 1.0, "{latency:?}");
    }

    #[test]
    fn each_response_counts_once_as_success_or_error() {
        let mut tally = tally();
        let overloaded = || Outcome::Failed("OVERLOADED".to_owned());
        for (order, outcome) in [
            (NEW, Outcome::Created),
            (REPLAY, Outcome::Replayed),
            (REPLAY, Outcome::Created),
            (NEW, overloaded()),
            (NEW, overloaded()),
        ] {
            tally.ended(slot(1000), order, outcome, SECOND);
        }
        tally.unsent(7);
        assert_eq!((tally.requests, tally.succeeded, tally.replayed), (12, 2, 1));
        let errors: Vec<_> = tally.errors.iter().map(|(code, n)| (code.as_str(), *n)).collect();
        assert_eq!(errors, [("OVERLOADED", 2), ("not-replayed", 1), ("unsent", 7)]);
    }

    #[test]
    fn warm_up_requests_are_not_counted() {
        let mut tally = tally();
        tally.ended(slot(999), NEW, Outcome::Created, SECOND);
        assert_eq!((tally.requests, tally.latency()), (0, None));
    }

    #[test]
    fn late_responses_extend_the_measurement() {
        let mut tally = tally();
        assert_eq!(tally.took(SECOND), SECOND);
        tally.ended(slot(1900), NEW, Outcome::Created, Duration::from_millis(3500));
        assert_eq!(tally.took(SECOND), Duration::from_millis(2500));
    }
}
