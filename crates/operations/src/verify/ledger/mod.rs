//! The data about each order, in few bytes: one run may read a million orders.

mod entry;
mod event_set;
mod stream;

use domain::OrderId;
use store::audit::{AuditedOrder, AuditedShipment, CurrentStatus, WaitingEvent};
use store::rebuild::EventKind;

pub(crate) use self::entry::{Entry, EventRecord};
pub(crate) use self::event_set::EventSet;
pub(crate) use self::stream::Stream;

/// How a record relates to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The first of its event.
    First,
    /// A duplicate.
    Again,
    /// Of an order that is not in the ledger.
    Unknown,
}

/// All selected orders, by ascending id.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Vec<Entry>);

impl Ledger {
    pub(crate) fn reserve(&mut self, orders: u64) {
        self.0.reserve_exact(usize::try_from(orders).unwrap_or_default());
    }

    /// Adds an order whose id sorts above all others.
    pub(crate) fn add(&mut self, order: &AuditedOrder) {
        debug_assert!(self.0.last().is_none_or(|last| last.id < order.id));
        self.0.push(Entry::new(order));
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub(crate) fn get_mut(&mut self, id: OrderId) -> Option<&mut Entry> {
        let place = self.0.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.0.get_mut(place)
    }

    pub(crate) fn add_outbox_event(&mut self, event: &WaitingEvent) {
        let known = EventKind::of_type(&event.event_type);
        if let (Some(kind), Some(entry)) = (known, self.get_mut(event.order_id)) {
            let events = if event.refused { &mut entry.refused } else { &mut entry.waiting };
            events.add(kind);
        }
    }

    /// Returns whether the shipment's order is in the ledger.
    pub(crate) fn add_shipment(&mut self, shipment: &AuditedShipment) -> bool {
        let entry = self.get_mut(shipment.order_id);
        entry.map(|entry| entry.shipment = Some(shipment.shipment)).is_some()
    }

    /// Adds a dead letter. Without a known event type, it may be of any event of its stream.
    pub(crate) fn add_dead_letter(
        &mut self,
        id: OrderId,
        stream: Stream,
        type_header: Option<&[u8]>,
    ) {
        let is_of = |event: &EventKind| type_header == Some(event.event_type().as_bytes());
        let known = stream.events().find(is_of);
        if let Some(entry) = self.get_mut(id) {
            for event in stream.events().filter(|event| known.is_none_or(|known| known == *event)) {
                entry.dead_letter.add(event);
            }
        }
    }

    pub(crate) fn set_later_status(&mut self, id: OrderId, later: CurrentStatus) {
        if let Some(entry) = self.get_mut(id) {
            entry.set_later(later);
        }
    }

    /// Adds a record of an event. The records of a partition must be added in order.
    pub(crate) fn add_record(
        &mut self,
        id: OrderId,
        event: EventKind,
        record: EventRecord,
    ) -> Seen {
        match self.get_mut(id).map(|entry| entry.add_record(event, record)) {
            None => Seen::Unknown,
            Some(true) => Seen::First,
            Some(false) => Seen::Again,
        }
    }

    /// Adds a record of an event that had no effect, because it became a dead letter.
    pub(crate) fn add_record_without_effect(&mut self, id: OrderId, event: EventKind) {
        if let Some(entry) = self.get_mut(id) {
            entry.add_record_without_effect(event);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
