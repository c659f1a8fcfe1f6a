use chrono::DateTime;
use domain::OrderStatus;
use store::audit::HistoryRow;
use store::rebuild::EventKind::{Created, Delivered, Shipped};

use super::*;

/// An order that has reached `status`, as the database has it.
pub(crate) fn order(number: u128, status: OrderStatus) -> AuditedOrder {
    let id = OrderId::from(uuid::Uuid::from_u128(number));
    AuditedOrder { id, status, key_hash: 0, history: Vec::new(), request: None }
}

pub(crate) fn event_record(partition: i32) -> EventRecord {
    EventRecord { partition, published_at: None, is_unread: true }
}

impl Ledger {
    /// The consumer of the topic has processed all records.
    pub(crate) fn consume_all(&mut self, stream: Stream) {
        for entry in &mut self.0 {
            entry.consume_all(stream);
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
    assert_eq!(ledger.add_record(order.id, Shipped, event_record(1)), Seen::First);
    assert_eq!(ledger.add_record(order.id, Shipped, event_record(1)), Seen::Again);
    assert_eq!(ledger.add_record(OrderId::MAX, Shipped, event_record(1)), Seen::Unknown);
    let entry = &ledger.entries()[0];
    assert!(entry.is_in_topic(Shipped) && !entry.is_in_topic(Delivered));
    assert!(!entry.is_in_several_partitions(Stream::Deliveries));
}

#[test]
fn records_in_several_partitions_are_detected_per_topic() {
    let mut ledger = Ledger::default();
    let order = order(7, OrderStatus::Delivered);
    ledger.add(&order);
    ledger.add_record(order.id, Created, event_record(0));
    ledger.add_record(order.id, Shipped, event_record(1));
    assert!(!ledger.entries()[0].is_in_several_partitions(Stream::Deliveries));
    ledger.add_record(order.id, Delivered, event_record(2));
    assert!(ledger.entries()[0].is_in_several_partitions(Stream::Deliveries));
    assert!(!ledger.entries()[0].is_in_several_partitions(Stream::Orders));
}

#[test]
fn only_the_first_record_of_each_step_counts_for_the_order_of_steps() {
    for (events, out_of_order) in [
        (&[Shipped, Delivered, Shipped][..], false),
        (&[Shipped, Shipped, Delivered, Delivered], false),
        (&[Delivered, Shipped, Delivered], true),
        // The first `order.shipped` may have expired.
        (&[Delivered], false),
    ] {
        let mut ledger = Ledger::default();
        let order = order(7, OrderStatus::Delivered);
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
        ledger.add_record(order.id, Delivered, event_record(0));
        let shipped = EventRecord { published_at: Some(published_at), ..event_record(0) };
        ledger.add_record(order.id, Shipped, shipped);
        assert_eq!(ledger.entries()[0].is_out_of_order(), out_of_order, "{published_at}");
    }
}

#[test]
fn a_record_without_effect_is_published_and_not_in_the_topic_for_its_order() {
    let mut ledger = Ledger::default();
    let order = order(7, OrderStatus::Shipped);
    ledger.add(&order);
    ledger.add_record_without_effect(order.id, EventKind::Cancelled);
    let entry = &ledger.entries()[0];
    assert!(entry.is_published(EventKind::Cancelled) && !entry.is_in_topic(EventKind::Cancelled));
    assert!(!entry.is_published(Shipped));
}
