//! Holding what was read against what was promised.
//!
//! Nothing is read here. What was read is not of one moment, but in an order that makes each judgement safe: the orders
//! first, then how far the readers are, then what these readers had to do, and the topics last. So an event that is
//! missing was missing when its order was read, and an effect that is missing had been passed over before.

mod account;
mod history;

use std::collections::{BTreeMap, HashSet};

use domain::{OrderId, OrderStatus};

pub(crate) use self::account::{Account, account, lost};
pub(crate) use self::history::history;
use super::findings::{Findings, Invariant};
use super::ledger::{Entry, Ledger, Stream, event_type};

/// How far the clock that dated an order can be ahead of the one that dated its record, in milliseconds.
const CLOCKS_APART: i64 = 3_600_000;

/// How far a topic was read by others, and how far back it reaches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    /// The offset of each partition below which the group is done.
    pub(crate) passed: BTreeMap<i32, i64>,
    /// Records of orders from before this moment may have left the topic; in milliseconds since 1970.
    pub(crate) horizon: Option<i64>,
}

/// What everything is judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Circumstances {
    pub(crate) reach: [Reach; 2],
    /// When the orders were read, in milliseconds since 1970.
    pub(crate) now: i64,
    /// How long nothing may happen to an order before it is mentioned, in milliseconds.
    pub(crate) stuck_after: i64,
    /// Nothing may be on its way.
    pub(crate) drained: bool,
}

impl Circumstances {
    fn is_passed(&self, entry: &Entry, event: OrderStatus) -> bool {
        let passed = &self.reach[Stream::of(event) as usize].passed;
        entry.place(event).is_some_and(|place| {
            passed.get(&place.partition).is_some_and(|passed| place.offset < *passed)
        })
    }

    /// Whether the record of the event may have left its topic.
    fn is_out_of_sight(&self, entry: &Entry, event: OrderStatus) -> bool {
        let horizon = self.reach[Stream::of(event) as usize].horizon;
        horizon.is_some_and(|at| entry.id.unix_millis() <= at.saturating_add(CLOCKS_APART))
    }

    /// Whether the event should be where it is not.
    fn is_missing(&self, entry: &Entry, event: OrderStatus) -> bool {
        entry.place(event).is_none() && !self.is_out_of_sight(entry, event)
    }
}

/// Orders whose keys have the same hash as another's.
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

/// The events of an order that have to be in a topic.
fn expected(entry: &Entry) -> impl Iterator<Item = OrderStatus> {
    let kept = |event| entry.is_waiting(event) || entry.is_refused(event);
    OrderStatus::ALL.into_iter().filter(move |event| {
        // The database has a step because its event came from the topic.
        *event <= entry.status && (*event != OrderStatus::PendingShipment || !kept(*event))
    })
}

/// Whether any event is missing as things stand.
pub(crate) fn is_any_missing(ledger: &Ledger, circumstances: &Circumstances) -> bool {
    let missing = |entry: &Entry| expected(entry).any(|it| circumstances.is_missing(entry, it));
    ledger.entries().iter().any(missing)
}

/// I1.
pub(crate) fn events(ledger: &Ledger, circumstances: &Circumstances, findings: &mut Findings) {
    for entry in ledger.entries() {
        let all = OrderStatus::ALL.into_iter().filter(|event| *event <= entry.status).count();
        let mut not_judged = 0;
        for event in expected(entry).filter(|event| entry.place(*event).is_none()) {
            if circumstances.is_out_of_sight(entry, event) {
                not_judged += 1;
                continue;
            }
            findings.violation(Invariant::Events, entry.id, || match event {
                OrderStatus::PendingShipment => {
                    format!("{} is neither in its topic nor in the outbox", event_type(event))
                }
                _ => format!("is {}, and {} is not in its topic", entry.status, event_type(event)),
            });
        }
        findings.checked(Invariant::Events, all as u64 - not_judged);
        findings.not_judged(Invariant::Events, not_judged);
    }
}

/// I4, of shipments.
pub(crate) fn shipments(ledger: &Ledger, circumstances: &Circumstances, findings: &mut Findings) {
    for entry in ledger.entries() {
        let created = OrderStatus::PendingShipment;
        let Some(state) = entry.shipment else {
            let taken =
                circumstances.is_passed(entry, created) && !entry.is_put_aside(Stream::Orders);
            let long_ago = entry.status == OrderStatus::Delivered
                && entry.place(created).is_none()
                && !entry.is_waiting(created)
                && !entry.is_refused(created);
            if taken || long_ago {
                findings.violation(Invariant::Transitions, entry.id, || {
                    "has no shipment, though delivery-service has passed its order.created"
                        .to_owned()
                });
            }
            continue;
        };
        for step in OrderStatus::ALL {
            // What the history says too is told with the events. One that was put aside was in the topic.
            let untold = entry.status < step && !entry.is_put_aside(Stream::of(step));
            if untold && step <= state && circumstances.is_missing(entry, step) {
                findings.violation(Invariant::Transitions, entry.id, || {
                    format!("its shipment is {state}, and {} is not in its topic", event_type(step))
                });
            }
        }
    }
}

/// I5, of the topics.
pub(crate) fn order(ledger: &Ledger, findings: &mut Findings) {
    for entry in ledger.entries() {
        for stream in Stream::ALL.into_iter().filter(|stream| entry.has_strayed(*stream)) {
            findings.violation(Invariant::Order, entry.id, || {
                format!("is in more than one partition of the topic that {} reads", stream.reader())
            });
        }
        if entry.is_overtaken() && !entry.has_strayed(Stream::Deliveries) {
            findings.violation(Invariant::Order, entry.id, || {
                "its first order.delivered comes before its first order.shipped".to_owned()
            });
        }
    }
}

#[cfg(test)]
mod tests;
