//! The data about each order, in few bytes: one run may read a million orders.

use contracts::delivery_events::{ORDER_DELIVERED, ORDER_SHIPPED};
use contracts::order_events::ORDER_CREATED;
use domain::{OrderId, OrderStatus};
use store::audit::{AuditedOrder, AuditedShipment, HistoryRow, WaitingEvent};

/// No record was seen.
const NO_PARTITION: i32 = -1;
/// Later than any record.
const NEVER: i64 = i64::MAX;

/// A topic of order events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Stream {
    /// `order.created`, read by delivery-service.
    Orders,
    /// `order.shipped` and `order.delivered`, read by status-consumer.
    Deliveries,
}

impl Stream {
    pub(crate) const ALL: [Self; 2] = [Self::Orders, Self::Deliveries];

    /// The topic of the event that leads to this status.
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
    /// The status when the orders were read.
    pub(crate) status: OrderStatus,
    /// The status of a later read, if there was one.
    later_status: Option<OrderStatus>,
    /// The last step that its shipment has reported, if it has one.
    pub(crate) shipment: Option<OrderStatus>,
    /// The next step of the shipment is scheduled and not due yet.
    pub(crate) step_scheduled: bool,
    /// Kafka has refused the next step of the shipment.
    pub(crate) step_refused: bool,
    seen: [bool; 3],
    unread: [bool; 3],
    waiting: [bool; 3],
    refused: [bool; 3],
    dead_letter: [bool; 3],
    in_several_partitions: [bool; 2],
    out_of_order: bool,
}

/// A record of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRecord {
    pub(crate) partition: i32,
    /// When it was published, in milliseconds since 1970.
    pub(crate) published_at: Option<i64>,
    /// The consumer has not processed it yet.
    pub(crate) is_unread: bool,
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
            later_status: None,
            shipment: None,
            step_scheduled: false,
            step_refused: false,
            seen: [false; 3],
            unread: [false; 3],
            waiting: [false; 3],
            refused: [false; 3],
            dead_letter: [false; 3],
            in_several_partitions: [false; 2],
            out_of_order: false,
        }
    }

    /// The status of the last read. The events that led to it may have arrived after the topics
    /// were read.
    pub(crate) fn last_status(&self) -> OrderStatus {
        self.later_status.unwrap_or(self.status)
    }

    /// A record of the event is in its topic.
    pub(crate) fn is_in_topic(&self, event: OrderStatus) -> bool {
        self.seen[event as usize]
    }

    /// A record of the event is in its topic, and the consumer has not processed it yet.
    pub(crate) fn is_unread(&self, event: OrderStatus) -> bool {
        self.unread[event as usize]
    }

    /// The event is in the outbox.
    pub(crate) fn is_in_outbox(&self, event: OrderStatus) -> bool {
        self.waiting[event as usize]
    }

    /// The event is a dead letter of the outbox.
    pub(crate) fn is_outbox_dead_letter(&self, event: OrderStatus) -> bool {
        self.refused[event as usize]
    }

    /// A record of the order is a dead letter of the consumer of this topic.
    pub(crate) fn has_dead_letter_in(&self, stream: Stream) -> bool {
        stream.events().any(|event| self.has_dead_letter_of(event))
    }

    /// A record of the event is a dead letter of the consumer of its topic.
    pub(crate) fn has_dead_letter_of(&self, event: OrderStatus) -> bool {
        self.dead_letter[event as usize]
    }

    /// Any of its events is a dead letter, of the outbox, a consumer or delivery-service.
    pub(crate) fn is_dead_lettered(&self) -> bool {
        self.step_refused || self.refused.contains(&true) || self.dead_letter.contains(&true)
    }

    /// Its records in this topic are in more than one partition.
    pub(crate) fn is_in_several_partitions(&self, stream: Stream) -> bool {
        self.in_several_partitions[stream as usize]
    }

    /// The first `order.delivered` is before the first `order.shipped`, which has not expired.
    pub(crate) fn is_out_of_order(&self) -> bool {
        self.out_of_order
    }
}

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
        let known =
            OrderStatus::ALL.into_iter().find(|status| event_type(*status) == event.event_type);
        if let (Some(event_of), Some(entry)) = (known, self.get_mut(event.order_id)) {
            let place = if event.refused { &mut entry.refused } else { &mut entry.waiting };
            place[event_of as usize] = true;
        }
    }

    /// Returns whether the shipment's order is in the ledger.
    pub(crate) fn add_shipment(&mut self, shipment: &AuditedShipment) -> bool {
        let entry = self.get_mut(shipment.order_id);
        entry.is_some_and(|entry| {
            entry.shipment = Some(shipment.state);
            entry.step_scheduled = shipment.step_scheduled;
            entry.step_refused = shipment.refused;
            true
        })
    }

    /// Adds a dead letter. Without a known event type, it may be of any event of its stream.
    pub(crate) fn add_dead_letter(
        &mut self,
        id: OrderId,
        stream: Stream,
        type_header: Option<&[u8]>,
    ) {
        let is_of = |event: &OrderStatus| type_header == Some(event_type(*event).as_bytes());
        let known = stream.events().find(is_of);
        if let Some(entry) = self.get_mut(id) {
            for event in stream.events().filter(|event| known.is_none_or(|known| known == *event)) {
                entry.dead_letter[event as usize] = true;
            }
        }
    }

    pub(crate) fn set_later_status(&mut self, id: OrderId, status: OrderStatus) {
        if let Some(entry) = self.get_mut(id) {
            entry.later_status = Some(status);
        }
    }

    /// Adds a record of the event that leads to a status. The records of a partition must be added
    /// in order.
    pub(crate) fn add_record(
        &mut self,
        id: OrderId,
        event: OrderStatus,
        event_record: EventRecord,
    ) -> Seen {
        let Some(entry) = self.get_mut(id) else { return Seen::Unknown };
        let EventRecord { partition, published_at, is_unread } = event_record;
        let stream = Stream::of(event) as usize;
        if entry.partitions[stream] == NO_PARTITION {
            entry.partitions[stream] = partition;
        }
        entry.in_several_partitions[stream] |= entry.partitions[stream] != partition;
        entry.unread[event as usize] |= is_unread;
        if entry.seen[event as usize] {
            return Seen::Again;
        }
        entry.seen[event as usize] = true;
        // A record from after the step was stored is a duplicate of one that has expired.
        let is_first = published_at.is_none_or(|at| at <= entry.shipped_at);
        entry.out_of_order |=
            event == OrderStatus::Shipped && is_first && entry.is_in_topic(OrderStatus::Delivered);
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

    pub(crate) fn event_record(partition: i32) -> EventRecord {
        EventRecord { partition, published_at: None, is_unread: true }
    }

    impl Ledger {
        /// The consumer of the topic has processed all records.
        pub(crate) fn consume_all(&mut self, stream: Stream) {
            for entry in &mut self.0 {
                for event in stream.events() {
                    entry.unread[event as usize] = false;
                }
            }
        }
    }

    #[test]
    fn a_million_orders_fit_into_80_megabytes() {
        assert!(size_of::<Entry>() <= 80, "{}", size_of::<Entry>());
    }

    #[test]
    fn duplicate_and_unknown_records_are_recognized() {
        let mut ledger = Ledger::default();
        let order = order(7, OrderStatus::Shipped);
        ledger.add(&order);
        assert_eq!(ledger.add_record(order.id, OrderStatus::Shipped, event_record(1)), Seen::First);
        assert_eq!(ledger.add_record(order.id, OrderStatus::Shipped, event_record(1)), Seen::Again);
        assert_eq!(
            ledger.add_record(OrderId::MAX, OrderStatus::Shipped, event_record(1)),
            Seen::Unknown
        );
        let entry = &ledger.entries()[0];
        assert!(
            entry.is_in_topic(OrderStatus::Shipped) && !entry.is_in_topic(OrderStatus::Delivered)
        );
        assert!(!entry.is_in_several_partitions(Stream::Deliveries));
    }

    #[test]
    fn records_in_several_partitions_are_detected_per_topic() {
        let mut ledger = Ledger::default();
        let order = order(7, OrderStatus::Delivered);
        ledger.add(&order);
        ledger.add_record(order.id, OrderStatus::PendingShipment, event_record(0));
        ledger.add_record(order.id, OrderStatus::Shipped, event_record(1));
        assert!(!ledger.entries()[0].is_in_several_partitions(Stream::Deliveries));
        ledger.add_record(order.id, OrderStatus::Delivered, event_record(2));
        assert!(ledger.entries()[0].is_in_several_partitions(Stream::Deliveries));
        assert!(!ledger.entries()[0].is_in_several_partitions(Stream::Orders));
    }

    #[test]
    fn only_the_first_record_of_each_step_counts_for_the_order_of_steps() {
        use OrderStatus::{Delivered, Shipped};
        for (events, out_of_order) in [
            (&[Shipped, Delivered, Shipped][..], false),
            (&[Shipped, Shipped, Delivered, Delivered], false),
            (&[Delivered, Shipped, Delivered], true),
            // The first `order.shipped` may have expired.
            (&[Delivered], false),
        ] {
            let mut ledger = Ledger::default();
            let order = order(7, Delivered);
            ledger.add(&order);
            for event in events {
                ledger.add_record(order.id, *event, event_record(0));
            }
            assert_eq!(ledger.entries()[0].is_out_of_order(), out_of_order, "{events:?}");
        }
    }

    #[test]
    fn a_step_republished_after_it_was_stored_is_not_out_of_order() {
        let stored = DateTime::from_timestamp_millis(1_000).unwrap();
        for (published_at, out_of_order) in [(999, true), (1_000, true), (1_001, false)] {
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
            ledger.add_record(order.id, OrderStatus::Delivered, event_record(0));
            let shipped = EventRecord { published_at: Some(published_at), ..event_record(0) };
            ledger.add_record(order.id, OrderStatus::Shipped, shipped);
            assert_eq!(ledger.entries()[0].is_out_of_order(), out_of_order, "{published_at}");
        }
    }
}
