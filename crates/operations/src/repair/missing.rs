//! The missing events of one order.

use domain::OrderStatus;
use store::audit::CancellationState;
use store::rebuild::EventKind;

use crate::verify::judge::Horizons;
use crate::verify::ledger::{Entry, EventSet, Stream};

/// What a repair does about an order.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// The events to publish.
    pub(super) events: EventSet,
    /// Why an event is not published, although it is missing.
    pub(super) left: Option<String>,
    /// Only a redrive can send back the next event.
    pub(super) dead_lettered: bool,
}

impl Missing {
    pub(super) fn of(entry: &Entry, horizons: Horizons) -> Self {
        let mut missing = Self::default();
        missing.add_created(entry, horizons);
        missing.add_request(entry, horizons);
        missing.add_steps(entry, horizons);
        missing.add_refusal(entry, horizons);
        missing
    }

    fn add_created(&mut self, entry: &Entry, horizons: Horizons) {
        let created = EventKind::Created;
        let unshipped = entry.shipment.is_none();
        let is_missing = horizons.is_missing(entry, created);
        if is_pending(entry, created) || !(unshipped || is_missing) {
            return;
        }
        if !is_missing && entry.has_dead_letter_of(created) {
            self.dead_lettered = true;
        } else if unshipped && has_begun(entry) {
            let status = entry.last_status();
            self.left = Some(format!(
                "is {status} and has no shipment; delivery-service would ship it again"
            ));
        } else {
            self.events.add(created);
        }
    }

    /// delivery-service ignores a request that it has stored. To any other one it responds with a
    /// decision, which depends on its shipment alone.
    fn add_request(&mut self, entry: &Entry, horizons: Horizons) {
        let requested = EventKind::CancellationRequested;
        let is_missing = horizons.is_missing(entry, requested);
        let is_known = entry.shipment.is_some_and(|shipment| {
            shipment.cancellation.is_some() || shipment.state == OrderStatus::Cancelled
        });
        let has_effect = is_known || entry.is_refused();
        if !entry.is_requested() || is_pending(entry, requested) || (has_effect && !is_missing) {
            return;
        }
        let contradicts = match entry.shipment {
            None => has_begun(entry),
            Some(shipment) => {
                has_left(entry) && !shipment.state.includes(OrderStatus::Shipped) && !is_known
            }
        };
        if !is_missing && entry.has_dead_letter_of(requested) {
            self.dead_lettered = true;
        } else if contradicts {
            let found = match entry.shipment {
                None => format!("is {} and has no shipment", entry.last_status()),
                Some(shipment) => format!("was shipped, and its shipment is {}", shipment.state),
            };
            self.left.get_or_insert_with(|| format!("{found}; delivery-service would cancel it"));
        } else {
            self.events.add(requested);
        }
    }

    /// Adds the missing steps. From the first step that the order has not taken, it adds all steps
    /// that the shipment has reported, so that they arrive in their order.
    fn add_steps(&mut self, entry: &Entry, horizons: Horizons) {
        // The status from before the topics were read: they may have later steps by now.
        let state = entry.shipment.map(|shipment| shipment.state);
        let reported = state.filter(|state| state.includes(entry.status)).unwrap_or(entry.status);
        let mut follows = false;
        for status in reported.path().iter().filter(|it| **it != OrderStatus::PendingShipment) {
            let step = EventKind::of_status(*status);
            let not_taken = !entry.has_been(*status);
            if !follows && is_pending(entry, step) {
                continue;
            }
            if !follows && entry.has_dead_letter_of(step) {
                self.dead_lettered |= not_taken;
                break;
            }
            if not_taken || horizons.is_missing(entry, step) {
                self.events.add(step);
                follows |= not_taken;
            }
        }
    }

    fn add_refusal(&mut self, entry: &Entry, horizons: Horizons) {
        let refused = EventKind::CancellationRefused;
        let cancellation = entry.shipment.and_then(|shipment| shipment.cancellation);
        let not_stored = !entry.is_refused();
        let is_reported = cancellation == Some(CancellationState::Refused);
        if (not_stored && !is_reported) || is_pending(entry, refused) {
            return;
        }
        if entry.has_dead_letter_of(refused) {
            self.dead_lettered |= not_stored;
        } else if not_stored || horizons.is_missing(entry, refused) {
            self.events.add(refused);
        }
    }
}

/// Whether a decision about the order was made or reported, wherever its event is now.
fn has_begun(entry: &Entry) -> bool {
    entry.last_status() != OrderStatus::PendingShipment
        || Stream::Deliveries.events().any(|event| is_reported(entry, event))
}

/// Whether the order was shipped, wherever the event is now.
fn has_left(entry: &Entry) -> bool {
    let mut events = Stream::Deliveries.events().filter(|event| *event != EventKind::Cancelled);
    entry.has_been(OrderStatus::Shipped) || events.any(|event| is_reported(entry, event))
}

fn is_reported(entry: &Entry, event: EventKind) -> bool {
    entry.is_in_topic(event) || is_pending(entry, event) || entry.has_dead_letter_of(event)
}

/// Whether the consumer will still read the event, or an operator can redrive it from the dead
/// letters of the outbox.
fn is_pending(entry: &Entry, event: EventKind) -> bool {
    entry.is_unread(event) || entry.is_in_outbox(event) || entry.is_outbox_dead_letter(event)
}
