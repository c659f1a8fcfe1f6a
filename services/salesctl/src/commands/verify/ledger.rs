//! What is known of each order, in as few bytes as will do: a million of them are looked at in one run.

use contracts::delivery_events::{ORDER_DELIVERED, ORDER_SHIPPED};
use contracts::order_events::ORDER_CREATED;
use domain::{OrderId, OrderStatus};
use store::audit::{AuditedOrder, AuditedShipment, HistoryRow, WaitingEvent};

/// No record was seen.
const NO_PARTITION: i32 = -1;
/// Later than any record.
const NEVER: i64 = i64::MAX;

/// A topic of events that orders are followed through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stream {
    /// `order.created`, read by delivery-service.
    Orders,
    /// `order.shipped` and `order.delivered`, read by status-consumer.
    Deliveries,
}

impl Stream {
    pub(crate) const ALL: [Self; 2] = [Self::Orders, Self::Deliveries];

    /// Where the event is published that leads to this status.
    pub(crate) const fn of(event: OrderStatus) -> Self {
        match event {
            OrderStatus::PendingShipment => Self::Orders,
            OrderStatus::Shipped | OrderStatus::Delivered => Self::Deliveries,
        }
    }

    /// The statuses that its events lead to.
    pub(crate) fn events(self) -> impl Iterator<Item = OrderStatus> {
        OrderStatus::ALL.into_iter().filter(move |event| Self::of(*event) == self)
    }

    pub(crate) const fn reader(self) -> &'static str {
        match self {
            Self::Orders => "delivery-service",
            Self::Deliveries => "status-consumer",
        }
    }
}

/// The type of the event that leads to this status.
pub(crate) const fn event_type(event: OrderStatus) -> &'static str {
    match event {
        OrderStatus::PendingShipment => ORDER_CREATED,
        OrderStatus::Shipped => ORDER_SHIPPED,
        OrderStatus::Delivered => ORDER_DELIVERED,
    }
}

/// One order.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: OrderId,
    pub(crate) key_hash: i64,
    /// When the database stored its last change, in milliseconds since 1970.
    pub(crate) changed_at: i64,
    /// When the database stored that it was shipped, in milliseconds since 1970.
    shipped_at: i64,
    partitions: [i32; 2],
    /// Where it was when everything was read.
    pub(crate) status: OrderStatus,
    /// Where it was later, if somebody looked again.
    moved_to: Option<OrderStatus>,
    /// The last step that its shipment has reported, if it has one.
    pub(crate) shipment: Option<OrderStatus>,
    /// The next step of the shipment lies ahead.
    pub(crate) on_its_way: bool,
    /// Kafka has refused the next step of the shipment.
    pub(crate) halted: bool,
    seen: [bool; 3],
    ahead: [bool; 3],
    waiting: [bool; 3],
    refused: [bool; 3],
    put_aside: [bool; 3],
    strayed: [bool; 2],
    overtaken: bool,
}

/// A record of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sighting {
    pub(crate) partition: i32,
    /// When it was published, in milliseconds since 1970.
    pub(crate) published_at: Option<i64>,
    /// The reader of the topic is yet to come to it.
    pub(crate) is_ahead: bool,
}

impl Entry {
    pub(crate) fn new(order: &AuditedOrder) -> Self {
        let recorded = |row: &HistoryRow| row.recorded_at.timestamp_millis();
        let shipped = order.history.iter().find(|row| row.status == OrderStatus::Shipped);
        Self {
            id: order.id,
            key_hash: order.key_hash,
            changed_at: order.history.last().map_or_else(|| order.id.unix_millis(), recorded),
            shipped_at: shipped.map_or(NEVER, recorded),
            partitions: [NO_PARTITION; 2],
            status: order.status,
            moved_to: None,
            shipment: None,
            on_its_way: false,
            halted: false,
            seen: [false; 3],
            ahead: [false; 3],
            waiting: [false; 3],
            refused: [false; 3],
            put_aside: [false; 3],
            strayed: [false; 2],
            overtaken: false,
        }
    }

    /// Where it was when somebody looked last. What it needs for that may have come after the topics were read.
    pub(crate) fn last_status(&self) -> OrderStatus {
        self.moved_to.unwrap_or(self.status)
    }

    /// A record of the event is in its topic.
    pub(crate) fn is_seen(&self, event: OrderStatus) -> bool {
        self.seen[event as usize]
    }

    /// A record of the event is in its topic, and its reader is yet to come to it.
    pub(crate) fn is_ahead(&self, event: OrderStatus) -> bool {
        self.ahead[event as usize]
    }

    /// The event is in the outbox.
    pub(crate) fn is_waiting(&self, event: OrderStatus) -> bool {
        self.waiting[event as usize]
    }

    /// The event is a dead letter of the outbox.
    pub(crate) fn is_refused(&self, event: OrderStatus) -> bool {
        self.refused[event as usize]
    }

    /// A record of the order is a dead letter of this topic's reader.
    pub(crate) fn is_put_aside(&self, stream: Stream) -> bool {
        stream.events().any(|event| self.is_event_put_aside(event))
    }

    /// A record of the event is a dead letter of the topic's reader.
    pub(crate) fn is_event_put_aside(&self, event: OrderStatus) -> bool {
        self.put_aside[event as usize]
    }

    /// Any of its events is a dead letter of anybody.
    pub(crate) fn is_dead_lettered(&self) -> bool {
        self.halted || self.refused.contains(&true) || self.put_aside.contains(&true)
    }

    /// Its records in this topic are in more than one partition.
    pub(crate) fn has_strayed(&self, stream: Stream) -> bool {
        self.strayed[stream as usize]
    }

    /// The first `order.delivered` stands before the first `order.shipped`, which has not left the topic.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.overtaken
    }
}

/// What a record is to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The first of its event.
    First,
    /// A repeat.
    Again,
    /// Of an order that is not in the ledger.
    Unknown,
}

/// All orders that are looked at, by ascending id.
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

    pub(crate) fn wait(&mut self, event: &WaitingEvent) {
        let known =
            OrderStatus::ALL.into_iter().find(|status| event_type(*status) == event.event_type);
        if let (Some(event_of), Some(entry)) = (known, self.get_mut(event.order_id)) {
            let place = if event.refused { &mut entry.refused } else { &mut entry.waiting };
            place[event_of as usize] = true;
        }
    }

    /// Returns whether the shipment's order is in the ledger.
    pub(crate) fn ship(&mut self, shipment: &AuditedShipment) -> bool {
        let entry = self.get_mut(shipment.order_id);
        entry.is_some_and(|entry| {
            entry.shipment = Some(shipment.state);
            entry.on_its_way = shipment.on_its_way;
            entry.halted = shipment.refused;
            true
        })
    }

    /// Notes a dead letter. One that does not say of what event it is may be of any in its stream.
    pub(crate) fn put_aside(&mut self, id: OrderId, stream: Stream, type_header: Option<&[u8]>) {
        let is_of = |event: &OrderStatus| type_header == Some(event_type(*event).as_bytes());
        let known = stream.events().find(is_of);
        if let Some(entry) = self.get_mut(id) {
            for event in stream.events().filter(|event| known.is_none_or(|known| known == *event)) {
                entry.put_aside[event as usize] = true;
            }
        }
    }

    pub(crate) fn move_to(&mut self, id: OrderId, status: OrderStatus) {
        if let Some(entry) = self.get_mut(id) {
            entry.moved_to = Some(status);
        }
    }

    /// Notes a record of the event that leads to a status. The records of a partition come in their order.
    pub(crate) fn see(&mut self, id: OrderId, event: OrderStatus, sighting: Sighting) -> Seen {
        let Some(entry) = self.get_mut(id) else { return Seen::Unknown };
        let Sighting { partition, published_at, is_ahead } = sighting;
        let stream = Stream::of(event) as usize;
        if entry.partitions[stream] == NO_PARTITION {
            entry.partitions[stream] = partition;
        }
        entry.strayed[stream] |= entry.partitions[stream] != partition;
        entry.ahead[event as usize] |= is_ahead;
        if entry.seen[event as usize] {
            return Seen::Again;
        }
        entry.seen[event as usize] = true;
        // One from after the step was stored repeats another, which has left the topic.
        let is_first = published_at.is_none_or(|at| at <= entry.shipped_at);
        entry.overtaken |=
            event == OrderStatus::Shipped && is_first && entry.is_seen(OrderStatus::Delivered);
        Seen::First
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::DateTime;

    use super::*;

    /// An order that has reached `status`, as the database has it.
    pub(crate) fn order(number: u128, status: OrderStatus) -> AuditedOrder {
        let id = OrderId::from(uuid::Uuid::from_u128(number));
        AuditedOrder { id, status, key_hash: 0, history: Vec::new() }
    }

    pub(crate) fn sighting(partition: i32) -> Sighting {
        Sighting { partition, published_at: None, is_ahead: true }
    }

    impl Ledger {
        /// The reader of the topic is done with everything.
        pub(crate) fn pass(&mut self, stream: Stream) {
            for entry in &mut self.0 {
                for event in stream.events() {
                    entry.ahead[event as usize] = false;
                }
            }
        }
    }

    #[test]
    fn a_million_orders_fit_into_80_megabytes() {
        assert!(size_of::<Entry>() <= 80, "{}", size_of::<Entry>());
    }

    #[test]
    fn the_first_record_counts_and_repeats_are_told_apart() {
        let mut ledger = Ledger::default();
        let order = order(7, OrderStatus::Shipped);
        ledger.add(&order);
        assert_eq!(ledger.see(order.id, OrderStatus::Shipped, sighting(1)), Seen::First);
        assert_eq!(ledger.see(order.id, OrderStatus::Shipped, sighting(1)), Seen::Again);
        assert_eq!(ledger.see(OrderId::MAX, OrderStatus::Shipped, sighting(1)), Seen::Unknown);
        let entry = &ledger.entries()[0];
        assert!(entry.is_seen(OrderStatus::Shipped) && !entry.is_seen(OrderStatus::Delivered));
        assert!(!entry.has_strayed(Stream::Deliveries));
    }

    #[test]
    fn an_order_in_two_partitions_of_a_topic_has_strayed_there_alone() {
        let mut ledger = Ledger::default();
        let order = order(7, OrderStatus::Delivered);
        ledger.add(&order);
        ledger.see(order.id, OrderStatus::PendingShipment, sighting(0));
        ledger.see(order.id, OrderStatus::Shipped, sighting(1));
        assert!(!ledger.entries()[0].has_strayed(Stream::Deliveries));
        ledger.see(order.id, OrderStatus::Delivered, sighting(2));
        assert!(ledger.entries()[0].has_strayed(Stream::Deliveries));
        assert!(!ledger.entries()[0].has_strayed(Stream::Orders));
    }

    #[test]
    fn only_the_first_records_tell_whether_a_step_was_overtaken() {
        use OrderStatus::{Delivered, Shipped};
        for (events, overtaken) in [
            (&[Shipped, Delivered, Shipped][..], false),
            (&[Shipped, Shipped, Delivered, Delivered], false),
            (&[Delivered, Shipped, Delivered], true),
            // The first `order.shipped` may have left the topic.
            (&[Delivered], false),
        ] {
            let mut ledger = Ledger::default();
            let order = order(7, Delivered);
            ledger.add(&order);
            for event in events {
                ledger.see(order.id, *event, sighting(0));
            }
            assert_eq!(ledger.entries()[0].is_overtaken(), overtaken, "{events:?}");
        }
    }

    #[test]
    fn a_step_that_is_published_again_after_it_was_stored_was_not_overtaken() {
        let stored = DateTime::from_timestamp_millis(1_000).unwrap();
        for (published_at, overtaken) in [(999, true), (1_000, true), (1_001, false)] {
            let mut ledger = Ledger::default();
            let mut order = order(7, OrderStatus::Delivered);
            order.history.push(HistoryRow {
                sequence: 2,
                status: OrderStatus::Shipped,
                event_id: uuid::Uuid::nil(),
                occurred_at: stored,
                recorded_at: stored,
            });
            ledger.add(&order);
            ledger.see(order.id, OrderStatus::Delivered, sighting(0));
            let shipped = Sighting { published_at: Some(published_at), ..sighting(0) };
            ledger.see(order.id, OrderStatus::Shipped, shipped);
            assert_eq!(ledger.entries()[0].is_overtaken(), overtaken, "{published_at}");
        }
    }
}
