//! Which events have to be published again.

use domain::{OrderId, OrderStatus};

use super::Horizons;
use crate::commands::verify::findings::Cases;
use crate::commands::verify::ledger::{Entry, Ledger, Stream, event_type};

const CREATED: OrderStatus = OrderStatus::PendingShipment;

/// What would make the topics whole again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The events to publish; those of an order follow each other in their order.
    pub(crate) events: Vec<(OrderId, OrderStatus)>,
    /// Orders that have begun their way and have no shipment: with their `order.created` they would be shipped again.
    pub(crate) left: Cases,
}

/// Looks for events that are missing, and for those that were passed over without an effect.
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
        let untaken = unshipped && !entry.is_put_aside(Stream::Orders);
        if is_to_come(entry, CREATED) || !(untaken || horizons.is_missing(entry, CREATED)) {
            return;
        }
        let status = entry.last_status();
        let has_begun = status > CREATED || steps().any(|step| entry.is_seen(step));
        if unshipped && has_begun {
            self.left.add(Some(entry.id), || format!("is {status} and has no shipment"));
        } else {
            self.events.push((entry.id, CREATED));
        }
    }

    /// From the first step on that is missing or had no effect, every one that the order has not taken.
    fn add_steps(&mut self, entry: &Entry, horizons: Horizons) {
        let status = entry.last_status();
        let reported = entry.shipment.map_or(status, |state| state.max(status));
        let mut begun = false;
        for step in steps().filter(|step| *step <= reported && !is_to_come(entry, *step)) {
            let put_aside = entry.is_event_put_aside(step);
            if put_aside && !begun {
                // Once it is sent back, the following ones can be.
                break;
            }
            let untaken = status < step && (begun || !entry.is_put_aside(Stream::Deliveries));
            if untaken || (!put_aside && horizons.is_missing(entry, step)) {
                self.events.push((entry.id, step));
                begun = true;
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

/// Its reader has the event before it, or will have it.
fn is_to_come(entry: &Entry, event: OrderStatus) -> bool {
    entry.is_ahead(event) || entry.is_waiting(event) || entry.is_refused(event)
}
