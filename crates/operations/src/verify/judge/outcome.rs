//! I11: whether an order was cancelled or shipped, and not both.

use domain::OrderStatus;
use store::audit::{CancellationState, Shipment};
use store::rebuild::EventKind;

use crate::verify::findings::{Findings, Invariant};
use crate::verify::ledger::{Entry, Ledger};

/// I11.
pub(crate) fn outcome(ledger: &Ledger, findings: &mut Findings) {
    findings.checked(Invariant::Outcome, ledger.entries().len() as u64);
    for entry in ledger.entries() {
        let (cancelled, shipped) = (cancelled(entry), shipped(entry));
        let is_shipped = shipped.contains(&true);
        if cancelled.contains(&true) && is_shipped {
            findings.violation(Invariant::Outcome, entry.id, || {
                format!("is cancelled in {}, and shipped in {}", places(cancelled), places(shipped))
            });
        } else if is_refused(entry) && !is_shipped {
            findings.violation(Invariant::Outcome, entry.id, || {
                "a request to cancel it was refused, and it was not shipped".to_owned()
            });
        }
    }
}

/// Whether a fact is in the history of the order, in its topic and in its shipment.
type Evidence = [bool; 3];

fn places(evidence: Evidence) -> String {
    let names = ["its history", "its topic", "its shipment"];
    let found = names.into_iter().zip(evidence).filter_map(|(name, found)| found.then_some(name));
    found.collect::<Vec<_>>().join(" and ")
}

fn cancelled(entry: &Entry) -> Evidence {
    let is_cancelled = |it: Shipment| {
        it.state == OrderStatus::Cancelled
            || it.cancellation == Some(CancellationState::Accepted)
            || it.shipped_and_cancelled
    };
    [
        entry.stored.has(EventKind::Cancelled) || entry.has_been(OrderStatus::Cancelled),
        entry.is_published(EventKind::Cancelled),
        entry.shipment.is_some_and(is_cancelled),
    ]
}

fn shipped(entry: &Entry) -> Evidence {
    let is_shipped =
        |it: Shipment| it.state.includes(OrderStatus::Shipped) || it.shipped_and_cancelled;
    let steps = [EventKind::Shipped, EventKind::Delivered];
    [
        steps.into_iter().any(|step| entry.stored.has(step))
            || entry.has_been(OrderStatus::Shipped),
        steps.into_iter().any(|step| entry.is_published(step)),
        entry.shipment.is_some_and(is_shipped),
    ]
}

/// Whether the request to cancel the order was refused, wherever the refusal is.
fn is_refused(entry: &Entry) -> bool {
    let cancellation = entry.shipment.and_then(|shipment| shipment.cancellation);
    entry.is_refused()
        || entry.is_published(EventKind::CancellationRefused)
        || matches!(cancellation, Some(CancellationState::Refusing | CancellationState::Refused))
}
