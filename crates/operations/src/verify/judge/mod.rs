//! Checks the invariants on the data that was read.
//!
//! This module reads nothing. The data is not from one moment, but the order of the reads makes
//! each judgement safe: first the orders, then the progress of the consumers, then the effects of
//! the consumers, and last the topics. So a missing event was missing when its order was read, and
//! the event of a missing effect had been consumed before.

mod account;
mod history;
mod outcome;
mod shipments;

use std::collections::HashSet;

use domain::OrderId;
use store::rebuild::EventKind;

pub(crate) use self::account::{Account, Criteria, account, lost};
pub(crate) use self::history::history;
pub(crate) use self::outcome::outcome;
pub(crate) use self::shipments::shipments;
use super::findings::{Findings, Invariant};
use super::ledger::{Entry, Ledger, Stream};

/// Maximum lead of the clock that dated an order over the clock that dated its record, in
/// milliseconds.
const MAX_CLOCK_LEAD_MS: i64 = 3_600_000;

/// For each topic: records of orders from before this time may have expired. In milliseconds since
/// 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Horizons(pub(crate) [Option<i64>; 2]);

impl Horizons {
    /// Whether the record of the event may have expired.
    fn may_have_expired(self, entry: &Entry, event: EventKind) -> bool {
        let horizon = self.0[Stream::of(event) as usize];
        horizon.is_some_and(|at| entry.id.unix_millis() <= at.saturating_add(MAX_CLOCK_LEAD_MS))
    }

    /// Whether the event is not in its topic and cannot have expired.
    pub(crate) fn is_missing(self, entry: &Entry, event: EventKind) -> bool {
        !entry.is_in_topic(event) && !self.may_have_expired(entry, event)
    }
}

/// Orders whose idempotency keys have the same hash as the key of another order.
pub(crate) fn key_suspects(ledger: &Ledger) -> Vec<OrderId> {
    let mut hashes: Vec<(i64, OrderId)> =
        ledger.entries().iter().map(|entry| (entry.key_hash, entry.id)).collect();
    hashes.sort_unstable();
    let same = hashes.chunk_by(|(one, _), (other, _)| one == other);
    same.filter(|orders| orders.len() > 1).flatten().map(|(_, id)| *id).collect()
}

/// I3.
pub(crate) fn keys(ledger: &Ledger, doubled: &HashSet<OrderId>, findings: &mut Findings) {
    findings.checked(Invariant::Keys, ledger.entries().len() as u64);
    for entry in ledger.entries().iter().filter(|entry| doubled.contains(&entry.id)) {
        findings.violation(Invariant::Keys, entry.id, || {
            "has the same owner and idempotency key as another order".to_owned()
        });
    }
}

/// The events of an order that must be in a topic.
fn expected(entry: &Entry) -> impl Iterator<Item = EventKind> {
    let is_kept = |event| entry.is_in_outbox(event) || entry.is_outbox_dead_letter(event);
    // What status-consumer has stored was read from the topic.
    entry.stored.iter().filter(move |it| Stream::of(*it) == Stream::Deliveries || !is_kept(*it))
}

/// Whether any event is missing.
pub(crate) fn is_any_missing(ledger: &Ledger, horizons: Horizons) -> bool {
    let missing = |entry: &Entry| expected(entry).any(|it| horizons.is_missing(entry, it));
    ledger.entries().iter().any(missing)
}

/// I1.
pub(crate) fn events(ledger: &Ledger, horizons: Horizons, findings: &mut Findings) {
    for entry in ledger.entries() {
        let mut not_judged = 0;
        for event in expected(entry).filter(|event| !entry.is_in_topic(*event)) {
            if horizons.may_have_expired(entry, event) {
                not_judged += 1;
            } else {
                findings.violation(Invariant::Events, entry.id, || absent(entry, event));
            }
        }
        findings.checked(Invariant::Events, entry.stored.iter().count() as u64 - not_judged);
        findings.not_judged(Invariant::Events, not_judged);
    }
}

fn absent(entry: &Entry, event: EventKind) -> String {
    let event_type = event.event_type();
    match event {
        EventKind::Created | EventKind::CancellationRequested => {
            format!("{event_type} is neither in its topic nor in the outbox")
        }
        EventKind::CancellationRefused => {
            format!("a request to cancel it was refused, and {event_type} is not in its topic")
        }
        EventKind::Shipped | EventKind::Delivered | EventKind::Cancelled => {
            format!("is {}, and {event_type} is not in its topic", entry.status)
        }
    }
}

/// I5, of the topics.
pub(crate) fn order(ledger: &Ledger, findings: &mut Findings) {
    for entry in ledger.entries() {
        for stream in
            Stream::ALL.into_iter().filter(|stream| entry.is_in_several_partitions(*stream))
        {
            findings.violation(Invariant::Order, entry.id, || {
                format!("is in more than one partition of the topic that {} reads", stream.reader())
            });
        }
        if entry.is_out_of_order() && !entry.is_in_several_partitions(Stream::Deliveries) {
            findings.violation(Invariant::Order, entry.id, || {
                "its first order.delivered comes before its first order.shipped".to_owned()
            });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
