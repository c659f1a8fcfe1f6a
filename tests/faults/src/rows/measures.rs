//! The figures beside the invariants, measured from the clients' journal and the topics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use uuid::Uuid;

use crate::journal::{Answer, Entry};
use crate::run::Outcome;

/// A figure with its bound.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured, with the bound.
    pub text: String,
    /// Whether the bound is kept.
    pub is_met: bool,
}

impl Figure {
    /// A figure that must be at most this.
    pub fn at_most(name: &str, measured: f64, bound: f64, unit: &str) -> Self {
        Self {
            text: format!("{name} {} <= {}{unit}", short(measured), short(bound)),
            is_met: measured <= bound,
        }
    }

    /// A figure that must be at least this.
    pub fn at_least(name: &str, measured: f64, bound: f64, unit: &str) -> Self {
        Self {
            text: format!("{name} {} >= {}{unit}", short(measured), short(bound)),
            is_met: measured >= bound,
        }
    }

    /// A figure that was not measured, which does not keep its bound.
    pub fn missing(name: &str) -> Self {
        Self { text: format!("{name} was not measured"), is_met: false }
    }
}

/// At most two decimals.
fn short(value: f64) -> String {
    // The sum of nothing is a negative zero.
    let text = format!("{:.2}", value + 0.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Outcome {
    /// When each order reached its last status, as the followers of the feed saw it.
    fn done(&self) -> BTreeMap<Uuid, Duration> {
        let changes = self.evidence.clients.feeds.values().flatten();
        let done = changes.filter(|it| matches!(it.status.as_str(), "Delivered" | "Cancelled"));
        done.map(|change| (change.order, change.received)).collect()
    }

    /// The longest time from the recovery's begin of a fault until all orders that had been
    /// accepted before were done, in seconds.
    pub fn recovery(&self) -> Option<f64> {
        let (done, accepted) = (self.done(), self.evidence.clients.accepted());
        let recoveries = self.findings.faults.iter().filter_map(|fault| {
            let before = accepted.iter().filter(|(_, order)| order.at < fault.recovers_from);
            let last = before.filter_map(|(id, _)| done.get(id)).max()?;
            Some(last.saturating_sub(fault.recovers_from).as_secs_f64())
        });
        recoveries.reduce(f64::max)
    }

    /// The longest time from the acceptance of an order to its last status, in seconds.
    pub fn slowest_order(&self) -> f64 {
        let done = self.done();
        let accepted = self.evidence.clients.accepted();
        let times = accepted
            .iter()
            .filter_map(|(id, order)| Some(done.get(id)?.saturating_sub(order.at).as_secs_f64()));
        times.fold(0.0, f64::max)
    }

    /// Of the orders that were accepted in this time: how many were done in it, for each.
    pub fn delivered_per_accepted(&self, from: Duration, to: Duration) -> f64 {
        let accepted = self.evidence.clients.accepted();
        let accepted = accepted.values().filter(|order| (from..to).contains(&order.at)).count();
        let done = self.done().into_values().filter(|at| (from..to).contains(at)).count();
        percent(done, accepted) / 100.0
    }

    /// Number of records that were published again: of each event, all but the first.
    pub fn duplicates(&self) -> usize {
        let mut seen = BTreeSet::new();
        let events = self.evidence.topics.events();
        events.filter(|event| !seen.insert((event.id, &event.event_type))).count()
    }

    /// The creates of the load that were sent in this time: how many, and how many got a 201.
    pub fn creates(&self, from: Duration, to: Duration) -> (usize, usize) {
        let creates: Vec<_> = self.evidence.clients.creates(from, to).collect();
        let accepted = creates.iter().filter(|entry| is_success(entry)).count();
        (creates.len(), accepted)
    }

    /// Percent of the first attempts to create an order that succeeded.
    pub fn availability(&self) -> f64 {
        let (all, succeeded) = self.creates(Duration::ZERO, self.healed);
        percent(succeeded, all)
    }

    /// The 99th percentile of the durations of successful creates, in milliseconds.
    pub fn p99_ms(&self, from: Duration, to: Duration) -> Option<f64> {
        let creates = self.evidence.clients.creates(from, to).filter(|entry| is_success(entry));
        percentile(creates.map(duration_ms).collect(), 99)
    }

    /// Number of dead letters, in tables and topics.
    pub fn dead_letters(&self) -> usize {
        let tables = self.evidence.database.outbox_dead_letters.len();
        tables + self.evidence.topics.dead_letters().count()
    }
}

/// Whether a create was accepted, or refused for a reason of the request.
pub(super) fn is_success(entry: &Entry) -> bool {
    matches!(entry.answer, Answer::Response { status: 201 | 422, .. })
}

/// The duration of a request.
#[allow(clippy::cast_precision_loss, reason = "milliseconds of one request")]
pub(super) fn duration_ms(entry: &Entry) -> f64 {
    entry.answered.saturating_sub(entry.sent).as_micros() as f64 / 1000.0
}

/// A percentile; `None` of nothing.
pub(super) fn percentile(mut values: Vec<f64>, percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent / 100).min(values.len().checked_sub(1)?)).copied()
}

/// 100 of nothing.
#[allow(clippy::cast_precision_loss, reason = "counts of requests")]
pub(super) fn percent(part: usize, all: usize) -> f64 {
    if all == 0 { 100.0 } else { 100.0 * part as f64 / all as f64 }
}

/// A count as a figure.
#[allow(clippy::cast_precision_loss, reason = "counts of records")]
pub(super) fn number(count: usize) -> f64 {
    count as f64
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_met { "" } else { " MISSED" };
        write!(f, "{}{verdict}", self.text)
    }
}
