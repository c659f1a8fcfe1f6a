//! Which events have to be published again.

use domain::{OrderId, OrderStatus};

use super::Horizons;
use crate::commands::verify::findings::Cases;
use crate::commands::verify::ledger::{Entry, Ledger, event_type};

const CREATED: OrderStatus = OrderStatus::PendingShipment;

/// The events that make the topics complete again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The events to publish; those of an order follow each other in their order.
    pub(crate) events: Vec<(OrderId, OrderStatus)>,
    /// Orders that have begun their way and have no shipment: `order.created` would ship them again.
    pub(crate) left: Cases,
    /// Orders whose next event is a dead letter of a consumer, which only a redrive can send back.
    pub(crate) dead_lettered: u64,
}

/// Finds the events that are missing, and those that a consumer passed without an effect.
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
        if is_to_come(entry, CREATED) || !(unshipped || is_missing) {
            return;
        }
        if !is_missing && entry.is_event_put_aside(CREATED) {
            self.dead_lettered += 1;
        } else if unshipped && has_begun(entry) {
            let status = entry.last_status();
            self.left.add(Some(entry.id), || format!("is {status} and has no shipment"));
        } else {
            self.events.push((entry.id, CREATED));
        }
    }

    /// Adds the steps that are missing. From the first one on that the order has not taken, it adds all that the shipment
    /// has reported, so that they arrive in their order.
    fn add_steps(&mut self, entry: &Entry, horizons: Horizons) {
        // The status as of when the topics were read: a later step may be in them by now.
        let reported = entry.shipment.map_or(entry.status, |state| state.max(entry.status));
        let mut follows = false;
        for step in steps().filter(|step| *step <= reported) {
            let untaken = entry.last_status() < step;
            if !follows && is_to_come(entry, step) {
                continue;
            }
            if !follows && entry.is_event_put_aside(step) {
                self.dead_lettered += u64::from(untaken);
                break;
            }
            if untaken || horizons.is_missing(entry, step) {
                self.events.push((entry.id, step));
                follows |= untaken;
            }
        }
    }

    /// How many events of each type.
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

/// A step of the order was made or reported, wherever its event is now.
fn has_begun(entry: &Entry) -> bool {
    entry.last_status() > CREATED
        || steps().any(|step| {
            entry.is_seen(step) || is_to_come(entry, step) || entry.is_event_put_aside(step)
        })
}

/// The consumer will read the event, or an operator will redrive it from the outbox's dead letters.
fn is_to_come(entry: &Entry, event: OrderStatus) -> bool {
    entry.is_ahead(event) || entry.is_waiting(event) || entry.is_refused(event)
}
