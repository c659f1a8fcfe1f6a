//! Records with their events, and how a bad one is found among them.

use contracts::envelope::{Envelope, Event};
use service_kit::Chain;

use super::offsets::Taken;
use crate::dead_letter::Verdict;

/// Events that are handled together, each beside the record that it came in.
#[derive(Debug)]
pub(super) struct Batch<E> {
    records: Vec<Taken>,
    events: Vec<Envelope<E>>,
}

/// What is left of a batch that can never be handled as a whole.
#[derive(Debug)]
pub(super) enum Suspect<E> {
    /// This one record is at fault.
    One(Taken),
    /// Either half may hold the record at fault; the first one comes first.
    Halves(Batch<E>, Batch<E>),
}

impl<E: Event> Batch<E> {
    /// Reads records. Those that are no events are returned apart, each with the reason.
    pub(super) fn read(records: Vec<Taken>) -> (Self, Vec<(Taken, Verdict)>) {
        let mut batch = Self { records: Vec::with_capacity(records.len()), events: Vec::new() };
        let mut unreadable = Vec::new();
        for taken in records {
            let record = &taken.record;
            let header = |name: &str| record.header(name);
            match Envelope::decode(record.key.as_deref(), record.value.as_deref(), header) {
                Ok(mut event) => {
                    // What a handler causes goes on from here.
                    if let Some(span) = &taken.span {
                        event.attributes.trace = span.trace();
                    }
                    batch.events.push(event);
                    batch.records.push(taken);
                }
                Err(error) => {
                    let message = Chain(&error).to_string();
                    unreadable.push((
                        taken,
                        Verdict { class: error.class(), message, quotes_record: true },
                    ));
                }
            }
        }
        (batch, unreadable)
    }
}

impl<E> Batch<E> {
    pub(super) fn events(&self) -> &[Envelope<E>] {
        &self.events
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Keeps what is wanted, in order.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Taken) -> bool) {
        let mut records = self.records.iter();
        self.events.retain(|_| records.next().is_some_and(&wanted));
        self.records.retain(wanted);
    }

    /// Narrows down where the fault is.
    pub(super) fn suspect(mut self) -> Suspect<E> {
        if self.records.len() == 1
            && let Some(taken) = self.records.pop()
        {
            return Suspect::One(taken);
        }
        let middle = self.records.len() / 2;
        let second =
            Self { records: self.records.split_off(middle), events: self.events.split_off(middle) };
        Suspect::Halves(self, second)
    }
}

#[cfg(test)]
mod tests {
    use domain::DeliveryStep::Shipped;
    use domain::OrderId;

    use super::*;
    use crate::Record;
    use contracts::cloud_events::{Attributes, data_schema};
    use contracts::delivery_events::{DELIVERY_VERSION, DeliveryEvent, ORDER_SHIPPED};
    use contracts::event_id::event_id;

    fn taken(offset: i64, good: bool) -> Taken {
        let order = OrderId::generate();
        let event = DeliveryEvent { order_id: order, step: Shipped, at: chrono::Utc::now() };
        let attributes = Attributes {
            id: event_id(order, ORDER_SHIPPED),
            source: "/test".into(),
            event_type: ORDER_SHIPPED.into(),
            time: event.at,
            subject: order.as_uuid(),
            data_schema: data_schema(ORDER_SHIPPED, DELIVERY_VERSION),
            correlation_id: None,
            trace: None,
        };
        let headers = attributes.to_headers().into_iter();
        let record = Record {
            topic: "t".into(),
            partition: 0,
            offset,
            timestamp_ms: None,
            key: Some(order.to_string().into_bytes()),
            value: good.then(|| event.encode().unwrap().into_bytes()),
            headers: headers.map(|(name, value)| (name, Some(value.into_bytes()))).collect(),
        };
        Taken { record, term: 1, span: None }
    }

    /// The offsets of a batch, after a look that each event is still beside its own record.
    fn offsets(batch: &Batch<DeliveryEvent>) -> Vec<i64> {
        assert_eq!(batch.records.len(), batch.events().len());
        let pairs = batch.records.iter().zip(batch.events());
        pairs
            .map(|(taken, event)| {
                let key = event.event.order_id.to_string().into_bytes();
                assert_eq!(taken.record.key.as_ref(), Some(&key));
                taken.record.offset
            })
            .collect()
    }

    #[test]
    fn what_is_no_event_is_set_apart() {
        let records = vec![taken(1, true), taken(2, false), taken(3, true)];
        let (batch, unreadable) = Batch::<DeliveryEvent>::read(records);
        assert_eq!(offsets(&batch), [1, 3]);
        let [(record, verdict)] = &unreadable[..] else { panic!("{unreadable:?}") };
        assert_eq!((record.record.offset, verdict.class), (2, "tombstone"));
    }

    #[test]
    fn halving_ends_at_each_single_record_in_order() {
        let (batch, _) = Batch::<DeliveryEvent>::read((0..7).map(|n| taken(n, true)).collect());
        let (mut parts, mut found) = (vec![batch], Vec::new());
        while let Some(part) = parts.pop() {
            assert!(!part.is_empty());
            offsets(&part);
            match part.suspect() {
                Suspect::One(taken) => found.push(taken.record.offset),
                Suspect::Halves(first, second) => parts.extend([second, first]),
            }
        }
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_is_not_wanted_goes_with_its_event() {
        let (mut batch, _) = Batch::read((0..6).map(|n| taken(n, true)).collect());
        batch.retain(|taken| taken.record.offset % 3 != 0);
        assert_eq!(offsets(&batch), [1, 2, 4, 5]);
    }
}
