use domain::{OrderId, OrderStatus};
use store::audit::{AuditedOrder, CurrentStatus, HistoryRow, Shipment};
use store::rebuild::EventKind;

use super::event_set::EventSet;
use super::stream::Stream;

/// No record was seen.
const NO_PARTITION: i32 = -1;
/// Later than any record.
const NEVER: i64 = i64::MAX;

/// One order.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: OrderId,
    pub(crate) key_hash: i64,
    /// When its last change was stored, in milliseconds since 1970.
    pub(crate) changed_at: i64,
    /// When the database stored that it was shipped, in milliseconds since 1970.
    shipped_at: i64,
    partitions: [i32; 2],
    /// The status when the orders were read.
    pub(crate) status: OrderStatus,
    /// The events that the order, its history and its request to cancel it stand for, when the
    /// orders were read.
    pub(crate) stored: EventSet,
    /// The status of a later read, if there was one.
    later: Option<CurrentStatus>,
    pub(crate) shipment: Option<Shipment>,
    seen: EventSet,
    /// The records that were dead-lettered, which had no effect.
    without_effect: EventSet,
    unread: EventSet,
    pub(super) waiting: EventSet,
    pub(super) refused: EventSet,
    pub(super) dead_letter: EventSet,
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
        let changed_at = order.history.last().map_or_else(|| order.id.unix_millis(), recorded);
        let requested_at = order.request.map(|request| request.requested_at.timestamp_millis());
        Self {
            id: order.id,
            key_hash: order.key_hash,
            changed_at: requested_at.map_or(changed_at, |at| at.max(changed_at)),
            shipped_at: shipped.map_or(NEVER, recorded),
            partitions: [NO_PARTITION; 2],
            status: order.status,
            stored: stored(order),
            later: None,
            shipment: None,
            seen: EventSet::default(),
            without_effect: EventSet::default(),
            unread: EventSet::default(),
            waiting: EventSet::default(),
            refused: EventSet::default(),
            dead_letter: EventSet::default(),
            in_several_partitions: [false; 2],
            out_of_order: false,
        }
    }

    /// The status of the last read. The events that led to it may have arrived after the topics
    /// were read.
    pub(crate) fn last_status(&self) -> OrderStatus {
        self.later.map_or(self.status, |later| later.status)
    }

    /// It has, or had, this status by the last read.
    pub(crate) fn has_been(&self, status: OrderStatus) -> bool {
        self.last_status().includes(status)
    }

    /// A client has requested to cancel it.
    pub(crate) fn is_requested(&self) -> bool {
        self.stored.has(EventKind::CancellationRequested)
    }

    /// The refusal of the request to cancel it was stored by the last read.
    pub(crate) fn is_refused(&self) -> bool {
        self.stored.has(EventKind::CancellationRefused)
            || self.later.is_some_and(|later| later.refused)
    }

    pub(super) fn set_later(&mut self, later: CurrentStatus) {
        self.later = Some(later);
    }

    /// A record of the event is in its topic. A dead-lettered record of a step is not.
    pub(crate) const fn is_in_topic(&self, event: EventKind) -> bool {
        self.seen.has(event)
    }

    /// A record of the event is in its topic, dead-lettered or not.
    pub(crate) const fn is_published(&self, event: EventKind) -> bool {
        self.seen.has(event) || self.without_effect.has(event)
    }

    /// A record of the event is in its topic, and the consumer has not processed it yet.
    pub(crate) const fn is_unread(&self, event: EventKind) -> bool {
        self.unread.has(event)
    }

    /// The event is in the outbox.
    pub(crate) const fn is_in_outbox(&self, event: EventKind) -> bool {
        self.waiting.has(event)
    }

    /// The event is a dead letter of the outbox.
    pub(crate) const fn is_outbox_dead_letter(&self, event: EventKind) -> bool {
        self.refused.has(event)
    }

    /// A record of the order is a dead letter of the consumer of this topic.
    pub(crate) fn has_dead_letter_in(&self, stream: Stream) -> bool {
        stream.events().any(|event| self.has_dead_letter_of(event))
    }

    /// A record of the event is a dead letter of the consumer of its topic.
    pub(crate) const fn has_dead_letter_of(&self, event: EventKind) -> bool {
        self.dead_letter.has(event)
    }

    /// The next step of its shipment is a dead letter of delivery-service.
    pub(crate) fn is_step_refused(&self) -> bool {
        self.shipment.is_some_and(|shipment| shipment.refused)
    }

    /// Any of its events is a dead letter, of the outbox, a consumer or delivery-service.
    pub(crate) fn is_dead_lettered(&self) -> bool {
        self.is_step_refused() || !self.refused.is_empty() || !self.dead_letter.is_empty()
    }

    /// Its records in this topic are in more than one partition.
    pub(crate) fn is_in_several_partitions(&self, stream: Stream) -> bool {
        self.in_several_partitions[stream as usize]
    }

    /// The first `order.delivered` is before the first `order.shipped`, which has not expired.
    pub(crate) fn is_out_of_order(&self) -> bool {
        self.out_of_order
    }

    /// Adds a record, and returns whether it is the first of its event.
    pub(super) fn add_record(&mut self, event: EventKind, record: EventRecord) -> bool {
        let EventRecord { partition, published_at, is_unread } = record;
        let stream = Stream::of(event) as usize;
        if self.partitions[stream] == NO_PARTITION {
            self.partitions[stream] = partition;
        }
        self.in_several_partitions[stream] |= self.partitions[stream] != partition;
        if is_unread {
            self.unread.add(event);
        }
        if self.seen.has(event) {
            return false;
        }
        self.seen.add(event);
        // A record from after the step was stored is a duplicate of one that has expired.
        let is_first = published_at.is_none_or(|at| at <= self.shipped_at);
        self.out_of_order |=
            event == EventKind::Shipped && is_first && self.seen.has(EventKind::Delivered);
        true
    }

    pub(super) fn add_record_without_effect(&mut self, event: EventKind) {
        self.without_effect.add(event);
    }

    #[cfg(test)]
    pub(super) fn consume_all(&mut self, stream: Stream) {
        self.unread = self.unread.iter().filter(|event| Stream::of(*event) != stream).collect();
    }
}

fn stored(order: &AuditedOrder) -> EventSet {
    let history = order.history.iter().map(|row| row.status);
    let statuses = order.status.path().iter().copied().chain(history);
    let mut stored: EventSet = statuses.map(EventKind::of_status).collect();
    if let Some(request) = order.request {
        stored.add(EventKind::CancellationRequested);
        if request.refused {
            stored.add(EventKind::CancellationRefused);
        }
    }
    stored
}
