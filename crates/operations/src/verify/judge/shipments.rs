//! I4, of shipments.

use domain::OrderStatus;
use store::audit::{CancellationState, Shipment};
use store::rebuild::EventKind;

use super::Horizons;
use crate::verify::findings::{Findings, Invariant};
use crate::verify::ledger::{Entry, Ledger, Stream};

/// I4, of shipments.
pub(crate) fn shipments(ledger: &Ledger, horizons: Horizons, findings: &mut Findings) {
    for entry in ledger.entries() {
        match entry.shipment {
            Some(shipment) => existing(entry, shipment, horizons, findings),
            None => missing(entry, findings),
        }
    }
}

fn missing(entry: &Entry, findings: &mut Findings) {
    if entry.status == OrderStatus::Cancelled {
        findings.violation(Invariant::Transitions, entry.id, || {
            "is Cancelled, and has no shipment".to_owned()
        });
        return;
    }
    // Either event of this topic creates the shipment.
    let is_pending = |event| entry.is_unread(event) || entry.is_in_outbox(event);
    let is_consumed =
        |event: &EventKind| entry.is_in_topic(*event) && !entry.has_dead_letter_of(*event);
    let consumed = Stream::Orders.events().find(is_consumed);
    let has_expired = entry.status == OrderStatus::Delivered
        && !entry.is_in_topic(EventKind::Created)
        && !entry.is_outbox_dead_letter(EventKind::Created);
    if Stream::Orders.events().any(is_pending) || !(consumed.is_some() || has_expired) {
        return;
    }
    let event_type = consumed.unwrap_or(EventKind::Created).event_type();
    findings.violation(Invariant::Transitions, entry.id, || {
        format!("has no shipment, though delivery-service has consumed its {event_type}")
    });
}

fn existing(entry: &Entry, shipment: Shipment, horizons: Horizons, findings: &mut Findings) {
    let Shipment { state, cancellation, .. } = shipment;
    // The event of a step is in the topic before the shipment has the state.
    let is_cancelled =
        state == OrderStatus::Cancelled || cancellation == Some(CancellationState::Accepted);
    if entry.status == OrderStatus::Cancelled && !is_cancelled {
        findings.violation(Invariant::Transitions, entry.id, || {
            format!("is Cancelled, and its shipment is {state}")
        });
    }
    let refused = cancellation == Some(CancellationState::Refused);
    let refusal = refused.then_some(EventKind::CancellationRefused);
    for event in state.path().iter().map(|status| EventKind::of_status(*status)).chain(refusal) {
        // A stored event is reported under I1. A dead-lettered event was in the topic.
        let is_unreported =
            !entry.stored.has(event) && !entry.has_dead_letter_in(Stream::of(event));
        if is_unreported && horizons.is_missing(entry, event) {
            let event_type = event.event_type();
            findings.violation(Invariant::Transitions, entry.id, || match event {
                EventKind::CancellationRefused => format!(
                    "its shipment refused the request to cancel it, and {event_type} is not in its topic"
                ),
                _ => format!("its shipment is {state}, and {event_type} is not in its topic"),
            });
        }
    }
}
