//! Reads the topics into the ledger.

use std::collections::{BTreeMap, HashMap};

use contracts::delivery_events::{DeliveryEvent, StepReported};
use contracts::envelope::{DecodeError, Envelope, Event};
use contracts::order_events::OrderEvent;
use contracts::topics::Names;
use domain::OrderId;
use indicatif::ProgressBar;
use messaging::reader::{OffsetRange, ReadError, TopicReader, committed, kept, read};
use messaging::redrive;
use messaging::{KafkaSettings, Record};
use serde::Serialize;
use store::rebuild::EventKind;
use uuid::Uuid;

use super::dead_letters::{DeadLetters, location, order_of};
use super::findings::{Findings, Invariant};
use super::ledger::{EventRecord, Ledger, Seen, Stream};
use super::scope::Selection;

/// The counts of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) topic: String,
    pub(crate) records: u64,
    /// Records with a `ce_id` that an earlier record has.
    pub(crate) duplicates: u64,
    /// Records that are not events of this system.
    pub(crate) unreadable: u64,
}

/// The state of reading a topic of order events.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) stream: Stream,
    pub(crate) counts: Counts,
    /// The first record of each partition: its offset and timestamp.
    first: BTreeMap<i32, (i64, Option<i64>)>,
    /// The end offset of each partition, as of the last read.
    ends: BTreeMap<i32, i64>,
    /// The committed offset of the consumer group in each partition.
    consumed: BTreeMap<i32, i64>,
    /// Whether no dead letter of the group has expired.
    letters_complete: bool,
}

/// The topics of a running system.
pub(crate) struct Topics<'a> {
    pub(crate) kafka: &'a KafkaSettings,
    pub(crate) names: &'a Names,
    pub(crate) selection: &'a Selection,
}

/// Where the data from the topics is collected.
pub(crate) struct Collected<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) letters: &'a mut DeadLetters,
    pub(crate) findings: &'a mut Findings,
    /// Orders that are not in the ledger, with a record of each.
    pub(crate) unknown: &'a mut HashMap<OrderId, String>,
}

impl Topics<'_> {
    pub(crate) fn name(&self, stream: Stream) -> &str {
        match stream {
            Stream::Orders => &self.names.order_events,
            Stream::Deliveries => &self.names.delivery_events,
        }
    }

    fn dead_letter_topic(&self, stream: Stream) -> String {
        match stream {
            Stream::Orders => self.names.order_events_dlq(),
            Stream::Deliveries => self.names.delivery_events_dlq(),
        }
    }

    /// Reads the progress of the consumer of a topic.
    pub(crate) async fn begin(&self, stream: Stream) -> Result<Reading, ReadError> {
        let group = match stream {
            Stream::Orders => &self.names.delivery_group,
            Stream::Deliveries => &self.names.status_group,
        };
        let topic = self.name(stream);
        let partitions = kept(self.kafka, topic).await?.into_iter().map(|range| range.partition);
        Ok(Reading {
            stream,
            counts: Counts { topic: topic.to_owned(), ..Counts::default() },
            first: BTreeMap::new(),
            ends: BTreeMap::new(),
            consumed: committed(self.kafka, topic, group, partitions).await?,
            letters_complete: true,
        })
    }

    /// Reads the dead letters of the consumer of a topic. Its progress must have been read before.
    pub(crate) async fn read_dead_letters(
        &self,
        reading: &mut Reading,
        collected: &mut Collected<'_>,
    ) -> Result<(), ReadError> {
        let (stream, topic) = (reading.stream, self.dead_letter_topic(reading.stream));
        let ranges = kept(self.kafka, &topic).await?;
        reading.letters_complete = ranges.iter().all(|range| range.from == 0);
        // A dead letter that was sent back no longer accounts for its order.
        let reader = TopicReader::new(self.kafka, &topic, &redrive::group_of(&topic))?;
        let waiting = redrive::waiting(&ranges, &reader).await?;
        read(self.kafka, &topic, &ranges, |letter| {
            if !self.selection.includes(order_of(&letter)) {
                return;
            }
            let waits = redrive::waits(&waiting, &letter);
            collected.letters.add(stream, self.name(stream), &letter, waits, collected.findings);
            if let Some(order) = order_of(&letter).filter(|_| waits) {
                collected.ledger.add_dead_letter(order, stream, letter.header("ce_type"));
            }
        })
        .await
    }

    /// Reads the records that were added since the last read, up to the current end of the topic.
    pub(crate) async fn read_events(
        &self,
        reading: &mut Reading,
        collected: &mut Collected<'_>,
        bar: &ProgressBar,
    ) -> Result<(), ReadError> {
        let topic = self.name(reading.stream);
        let mut ranges = kept(self.kafka, topic).await?;
        for OffsetRange { partition, from, to } in &mut ranges {
            let known = reading.ends.insert(*partition, *to);
            *from = (*from).max(known.unwrap_or_default());
        }
        let new_records: u64 = ranges.iter().map(OffsetRange::count).sum();
        bar.inc_length(new_records);
        read(self.kafka, topic, &ranges, |record| {
            reading.note(&record, self.selection, collected);
            bar.inc(1);
        })
        .await
    }

    /// Reads the announcements of dead letters, which also name orders.
    pub(crate) async fn read_announcements(
        &self,
        collected: &mut Collected<'_>,
    ) -> Result<Counts, ReadError> {
        let topic = &self.names.dead_letters;
        let mut counts = Counts { topic: topic.clone(), ..Counts::default() };
        let mut ids = std::collections::HashSet::new();
        let ranges = kept(self.kafka, topic).await?;
        read(self.kafka, topic, &ranges, |record| {
            let order = order_of(&record);
            if !self.selection.includes(order) {
                return;
            }
            counts.records += 1;
            collected.findings.checked(Invariant::OrderExists, 1);
            let id = record.header("ce_id").and_then(|id| Uuid::try_parse_ascii(id).ok());
            let (Some(order), Some(id)) = (order, id) else {
                counts.unreadable += 1;
                return;
            };
            counts.duplicates += u64::from(!ids.insert(id));
            if collected.ledger.get_mut(order).is_none() {
                collected.unknown.entry(order).or_insert_with(|| location(&record));
            }
        })
        .await?;
        Ok(counts)
    }
}

impl Reading {
    /// The time that all partitions reach back to, in milliseconds since 1970: records of earlier
    /// orders may have expired. `None` if no record has expired.
    pub(crate) fn horizon(&self) -> Option<i64> {
        let first = |(partition, end): (&i32, &i64)| match self.first.get(partition) {
            Some((0, _)) => None,
            Some((_, timestamp)) => Some(timestamp.unwrap_or(i64::MAX)),
            None => (*end > 0).then_some(i64::MAX),
        };
        self.ends.iter().filter_map(first).max()
    }

    /// The first offset of each partition.
    pub(crate) fn beginnings(&self) -> BTreeMap<i32, i64> {
        let begin = |partition: &i32, end: &i64| {
            self.first.get(partition).map_or(*end, |(offset, _)| *offset)
        };
        self.ends.iter().map(|(partition, end)| (*partition, begin(partition, end))).collect()
    }

    fn note(&mut self, record: &Record, selection: &Selection, collected: &mut Collected<'_>) {
        self.first.entry(record.partition).or_insert((record.offset, record.timestamp_ms));
        if !selection.includes(order_of(record)) {
            return;
        }
        self.counts.records += 1;
        collected.findings.checked(Invariant::OrderExists, 1);
        let dead_letter = collected.letters.compare(self.stream, record, collected.findings);
        match decode(self.stream, record) {
            Ok((order, event)) => self.note_event(record, (order, event), dead_letter, collected),
            Err(error) => {
                self.counts.unreadable += 1;
                if !dead_letter {
                    self.note_unreadable(record, error.class(), collected);
                }
            }
        }
    }

    fn note_event(
        &mut self,
        record: &Record,
        (order, event): (OrderId, EventKind),
        dead_letter: bool,
        collected: &mut Collected<'_>,
    ) {
        if dead_letter && self.stream == Stream::Deliveries {
            // A dead-lettered step had no effect on the order.
            collected.ledger.add_record_without_effect(order, event);
            return;
        }
        let event_record = EventRecord {
            partition: record.partition,
            published_at: record.timestamp_ms,
            is_unread: !self.is_consumed(record),
        };
        match collected.ledger.add_record(order, event, event_record) {
            Seen::First => {}
            Seen::Again => self.counts.duplicates += 1,
            Seen::Unknown if dead_letter => {}
            Seen::Unknown => {
                collected.unknown.entry(order).or_insert_with(|| location(record));
            }
        }
    }

    /// Whether the consumer group has processed the record.
    fn is_consumed(&self, record: &Record) -> bool {
        self.consumed.get(&record.partition).is_some_and(|consumed| record.offset < *consumed)
    }

    /// An unreadable record becomes a dead letter when the consumer reaches it.
    fn note_unreadable(&self, record: &Record, class: &str, collected: &mut Collected<'_>) {
        if self.is_consumed(record) && self.letters_complete {
            collected.findings.violation(Invariant::DeadLetters, order_of(record), || {
                let reader = self.stream.reader();
                format!(
                    "{} ({class}) was consumed by {reader} and is not a dead letter",
                    location(record)
                )
            });
        } else {
            collected.findings.not_judged(Invariant::DeadLetters, 1);
        }
    }
}

/// The order and the kind of an event, decoded as in the services.
fn decode(stream: Stream, record: &Record) -> Result<(OrderId, EventKind), DecodeError> {
    fn event<E: Event>(record: &Record) -> Result<E, DecodeError> {
        let header = |name: &str| record.header(name);
        Ok(Envelope::decode(record.key.as_deref(), record.value.as_deref(), header)?.event)
    }
    Ok(match stream {
        Stream::Orders => match event(record)? {
            OrderEvent::Created(event) => (event.order_id, EventKind::Created),
            OrderEvent::CancellationRequested(event) => {
                (event.order_id, EventKind::CancellationRequested)
            }
        },
        Stream::Deliveries => match event(record)? {
            DeliveryEvent::Step(StepReported { order_id, step, .. }) => {
                (order_id, EventKind::of_status(step.target()))
            }
            DeliveryEvent::CancellationRefused(event) => {
                (event.order_id, EventKind::CancellationRefused)
            }
        },
    })
}

#[cfg(test)]
mod tests;
