//! Holding what was read against what was promised.
//!
//! Nothing is read here. What was read is not of one moment, but in an order that makes each judgement safe: the orders
//! first, then how far the readers are, then what these readers had to do, and the topics last. So an event that is
//! missing was missing when its order was read, and an effect that is missing had been passed over before.

mod account;
mod history;
mod republish;

use std::collections::HashSet;

use domain::{OrderId, OrderStatus};

pub(crate) use self::account::{Account, Demands, account, lost};
pub(crate) use self::history::history;
pub(crate) use self::republish::{Plan, plan};
use super::findings::{Findings, Invariant};
use super::ledger::{Entry, Ledger, Stream, event_type};

/// How far the clock that dated an order can be ahead of the one that dated its record, in milliseconds.
const CLOCKS_APART: i64 = 3_600_000;

/// How far back each topic reaches: records of orders from before this moment may have left it; in milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Horizons(pub(crate) [Option<i64>; 2]);

impl Horizons {
    /// Whether the record of the event may have left its topic.
    fn is_out_of_sight(self, entry: &Entry, event: OrderStatus) -> bool {
        let horizon = self.0[Stream::of(event) as usize];
        horizon.is_some_and(|at| entry.id.unix_millis() <= at.saturating_add(CLOCKS_APART))
    }

    /// Whether the event should be where it is not.
    fn is_missing(self, entry: &Entry, event: OrderStatus) -> bool {
        !entry.is_seen(event) && !self.is_out_of_sight(entry, event)
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
pub(crate) fn is_any_missing(ledger: &Ledger, horizons: Horizons) -> bool {
    let missing = |entry: &Entry| expected(entry).any(|it| horizons.is_missing(entry, it));
    ledger.entries().iter().any(missing)
}

/// I1.
pub(crate) fn events(ledger: &Ledger, horizons: Horizons, findings: &mut Findings) {
    for entry in ledger.entries() {
        let all = OrderStatus::ALL.into_iter().filter(|event| *event <= entry.status).count();
        let mut not_judged = 0;
        for event in expected(entry).filter(|event| !entry.is_seen(*event)) {
            if horizons.is_out_of_sight(entry, event) {
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
pub(crate) fn shipments(ledger: &Ledger, horizons: Horizons, findings: &mut Findings) {
    for entry in ledger.entries() {
        let created = OrderStatus::PendingShipment;
        let Some(state) = entry.shipment else {
            let to_come = entry.is_ahead(created) || entry.is_waiting(created);
            let taken = entry.is_seen(created) && !entry.is_put_aside(Stream::Orders);
            let long_ago = entry.status == OrderStatus::Delivered
                && !entry.is_seen(created)
                && !entry.is_refused(created);
            if !to_come && (taken || long_ago) {
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
            if untold && step <= state && horizons.is_missing(entry, step) {
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
