//! Plans which events to publish again.

use domain::{OrderId, OrderStatus};

use super::Horizons;
use crate::commands::verify::findings::Cases;
use crate::commands::verify::ledger::{Entry, Ledger, event_type};

const CREATED: OrderStatus = OrderStatus::PendingShipment;

/// The events that complete the topics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The events to publish; the events of one order are in their order.
    pub(crate) events: Vec<(OrderId, OrderStatus)>,
    /// Orders with a step but without a shipment: `order.created` would cause a second shipment.
    pub(crate) left: Cases,
    /// Orders whose next event is a dead letter of a consumer, which only a redrive can send back.
    pub(crate) dead_lettered: u64,
}

/// Finds the events that are missing, and those that a consumer processed without an effect.
pub(crate) fn plan(ledger: &Ledger, horizons: Horizons) -> Plan {
    let mut plan = Plan::default();
    for entry in ledger.entries() {
        plan.add_created(entry, horizons);
        plan.add_steps(entry, horizons);
    }
    plan
}

impl Plan {
    fn add_created(&mut self, entry: &Entry, horizons: Horizons) {
        let unshipped = entry.shipment.is_none();
        let is_missing = horizons.is_missing(entry, CREATED);
        if is_pending(entry, CREATED) || !(unshipped || is_missing) {
            return;
        }
        if !is_missing && entry.has_dead_letter_of(CREATED) {
            self.dead_lettered += 1;
        } else if unshipped && has_begun(entry) {
            let status = entry.last_status();
            self.left.add(Some(entry.id), || format!("is {status} and has no shipment"));
        } else {
            self.events.push((entry.id, CREATED));
        }
    }

    /// Adds the missing steps. From the first step that the order has not taken, it adds all steps
    /// that the shipment has reported, so that they arrive in their order.
    fn add_steps(&mut self, entry: &Entry, horizons: Horizons) {
        // The status from before the topics were read: they may have later steps by now.
        let reported = entry.shipment.map_or(entry.status, |state| state.max(entry.status));
        let mut follows = false;
        for step in steps().filter(|step| *step <= reported) {
            let not_taken = entry.last_status() < step;
            if !follows && is_pending(entry, step) {
                continue;
            }
            if !follows && entry.has_dead_letter_of(step) {
                self.dead_lettered += u64::from(not_taken);
                break;
            }
            if not_taken || horizons.is_missing(entry, step) {
                self.events.push((entry.id, step));
                follows |= not_taken;
            }
        }
    }

    /// Number of events by type.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OrderStatus::ALL.into_iter().map(|event| {
            let count = self.events.iter().filter(|(_, it)| *it == event).count();
            (event_type(event), count as u64)
        })
    }
}

fn steps() -> impl Iterator<Item = OrderStatus> {
    OrderStatus::ALL.into_iter().filter(|status| *status > CREATED)
}

/// Whether a step of the order was made or reported, wherever its event is now.
fn has_begun(entry: &Entry) -> bool {
    entry.last_status() > CREATED
        || steps().any(|step| {
            entry.is_in_topic(step) || is_pending(entry, step) || entry.has_dead_letter_of(step)
        })
}

/// Whether the consumer will still read the event, or an operator can redrive it from the dead
/// letters of the outbox.
fn is_pending(entry: &Entry, event: OrderStatus) -> bool {
    entry.is_unread(event) || entry.is_in_outbox(event) || entry.is_outbox_dead_letter(event)
}
