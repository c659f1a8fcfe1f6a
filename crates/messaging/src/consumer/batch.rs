//! Records with their events, and the bisection that finds a poison record.

use contracts::envelope::{Envelope, Event};
use service_kit::Chain;

use super::offsets::Fetched;
use crate::dead_letter::DeadLetterReason;

/// Events that are handled together, each with its record.
#[derive(Debug)]
pub(super) struct Batch<E> {
    records: Vec<Fetched>,
    events: Vec<Envelope<E>>,
}

/// The next step in the search for poison, in a batch that can never be handled as a whole.
#[derive(Debug)]
pub(super) enum Bisection<E> {
    /// This record is the cause.
    One(Fetched),
    /// Either half may contain the cause. The first half has the earlier records.
    Halves(Batch<E>, Batch<E>),
}

impl<E: Event> Batch<E> {
    /// Decodes records. Returns those that are not valid events separately, each with the reason.
    pub(super) fn read(records: Vec<Fetched>) -> (Self, Vec<(Fetched, DeadLetterReason)>) {
        let mut batch = Self { records: Vec::with_capacity(records.len()), events: Vec::new() };
        let mut unreadable = Vec::new();
        for fetched in records {
            let record = &fetched.record;
            let header = |name: &str| record.header(name);
            match Envelope::decode(record.key.as_deref(), record.value.as_deref(), header) {
                Ok(mut event) => {
                    // The effects of the handler continue this span.
                    if let Some(span) = &fetched.span {
                        event.attributes.trace = span.trace();
                    }
                    batch.events.push(event);
                    batch.records.push(fetched);
                }
                Err(error) => {
                    let message = Chain(&error).to_string();
                    unreadable.push((
                        fetched,
                        DeadLetterReason { class: error.class(), message, quotes_record: true },
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

    /// Keeps the wanted records and their events, in order.
    pub(super) fn retain(&mut self, wanted: impl Fn(&Fetched) -> bool) {
        let mut records = self.records.iter();
        self.events.retain(|_| records.next().is_some_and(&wanted));
        self.records.retain(wanted);
    }

    /// Halves the batch, or returns its single record.
    pub(super) fn bisect(mut self) -> Bisection<E> {
        if self.records.len() == 1
            && let Some(fetched) = self.records.pop()
        {
            return Bisection::One(fetched);
        }
        let middle = self.records.len() / 2;
        let second =
            Self { records: self.records.split_off(middle), events: self.events.split_off(middle) };
        Bisection::Halves(self, second)
    }
}

#[cfg(test)]
mod tests {
    use domain::DeliveryStep::Shipped;
    use domain::OrderId;

    use super::*;
    use crate::Record;
    use contracts::delivery_events::{DeliveryEvent, StepReported};
    use contracts::message::Origin;

    fn fetched(offset: i64, good: bool) -> Fetched {
        let order = OrderId::generate();
        let event = StepReported { order_id: order, step: Shipped, at: chrono::Utc::now() };
        let message = event.message(Origin::new("/test", "t"));
        let headers = message.attributes.to_headers().into_iter();
        let record = Record {
            topic: message.topic,
            partition: 0,
            offset,
            timestamp_ms: None,
            key: Some(order.to_string().into_bytes()),
            value: good.then(|| message.payload.into_bytes()),
            headers: headers.map(|(name, value)| (name, Some(value.into_bytes()))).collect(),
        };
        Fetched { record, epoch: 1, span: None }
    }

    /// The offsets of a batch. Checks that each event is still with its own record.
    fn offsets(batch: &Batch<DeliveryEvent>) -> Vec<i64> {
        assert_eq!(batch.records.len(), batch.events().len());
        let pairs = batch.records.iter().zip(batch.events());
        pairs
            .map(|(fetched, event)| {
                let key = event.event.order_id().to_string().into_bytes();
                assert_eq!(fetched.record.key.as_ref(), Some(&key));
                fetched.record.offset
            })
            .collect()
    }

    #[test]
    fn records_that_cannot_be_decoded_are_separated_from_the_batch() {
        let records = vec![fetched(1, true), fetched(2, false), fetched(3, true)];
        let (batch, unreadable) = Batch::<DeliveryEvent>::read(records);
        assert_eq!(offsets(&batch), [1, 3]);
        let [(record, reason)] = &unreadable[..] else { panic!("{unreadable:?}") };
        assert_eq!((record.record.offset, reason.class), (2, "tombstone"));
    }

    #[test]
    fn bisection_yields_single_records_in_order() {
        let (batch, _) = Batch::<DeliveryEvent>::read((0..7).map(|n| fetched(n, true)).collect());
        let (mut parts, mut found) = (vec![batch], Vec::new());
        while let Some(part) = parts.pop() {
            assert!(!part.is_empty());
            offsets(&part);
            match part.bisect() {
                Bisection::One(fetched) => found.push(fetched.record.offset),
                Bisection::Halves(first, second) => parts.extend([second, first]),
            }
        }
        assert_eq!(found, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn removing_records_from_a_batch_removes_their_events() {
        let (mut batch, _) = Batch::read((0..6).map(|n| fetched(n, true)).collect());
        batch.retain(|fetched| fetched.record.offset % 3 != 0);
        assert_eq!(offsets(&batch), [1, 2, 4, 5]);
    }
}
