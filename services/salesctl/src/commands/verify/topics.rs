//! Reading the topics into the ledger.

use std::collections::{BTreeMap, HashMap};

use contracts::delivery_events::DeliveryEvent;
use contracts::envelope::{DecodeError, Envelope, Event};
use contracts::order_events::OrderEvent;
use contracts::topics::Names;
use domain::{OrderId, OrderStatus};
use indicatif::ProgressBar;
use messaging::reader::{ReadError, Span, TopicReader, committed, kept, read};
use messaging::redrive;
use messaging::{KafkaSettings, Record};
use serde::Serialize;
use uuid::Uuid;

use super::dead_letters::{DeadLetters, named, order_of};
use super::findings::{Findings, Invariant};
use super::ledger::{Ledger, Seen, Sighting, Stream};
use super::scope::Selection;

/// What was counted in a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) topic: String,
    pub(crate) records: u64,
    /// Records with a `ce_id` that had come before.
    pub(crate) duplicates: u64,
    /// Records that are no event of this system.
    pub(crate) unreadable: u64,
}

/// A topic of events while it is read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) stream: Stream,
    pub(crate) counts: Counts,
    /// The first record of each partition: its offset and timestamp.
    first: BTreeMap<i32, (i64, Option<i64>)>,
    /// Where each partition ended when it was asked.
    ends: BTreeMap<i32, i64>,
    /// The offset of each partition below which the group is done.
    passed: BTreeMap<i32, i64>,
    /// Every dead letter of the group is still there to be found.
    letters_complete: bool,
}

/// The topics of a running system.
pub(crate) struct Topics<'a> {
    pub(crate) kafka: &'a KafkaSettings,
    pub(crate) names: &'a Names,
    pub(crate) selection: &'a Selection,
}

/// What is found on the way through the topics.
pub(crate) struct Books<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) letters: &'a mut DeadLetters,
    pub(crate) findings: &'a mut Findings,
    /// Orders that the ledger doesn't have, with a record of each.
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

    /// Asks how far the reader of a topic is.
    pub(crate) async fn begin(&self, stream: Stream) -> Result<Reading, ReadError> {
        let group = match stream {
            Stream::Orders => &self.names.delivery_group,
            Stream::Deliveries => &self.names.status_group,
        };
        let topic = self.name(stream);
        let partitions = kept(self.kafka, topic).await?.into_iter().map(|span| span.partition);
        Ok(Reading {
            stream,
            counts: Counts { topic: topic.to_owned(), ..Counts::default() },
            first: BTreeMap::new(),
            ends: BTreeMap::new(),
            passed: committed(self.kafka, topic, group, partitions).await?,
            letters_complete: true,
        })
    }

    /// Reads the dead letters of a topic's reader; after it was asked how far that is.
    pub(crate) async fn read_dead_letters(
        &self,
        reading: &mut Reading,
        books: &mut Books<'_>,
    ) -> Result<(), ReadError> {
        let (stream, topic) = (reading.stream, self.dead_letter_topic(reading.stream));
        let spans = kept(self.kafka, &topic).await?;
        reading.letters_complete = spans.iter().all(|span| span.from == 0);
        // What was sent back is nobody's excuse any more.
        let reader = TopicReader::new(self.kafka, &topic, &redrive::group_of(&topic))?;
        let waiting = redrive::waiting(&spans, &reader).await?;
        let waits = |letter: &Record| {
            let mut of_partition = waiting.iter().filter(|span| span.partition == letter.partition);
            of_partition.any(|span| letter.offset >= span.from)
        };
        read(self.kafka, &topic, &spans, |letter| {
            if !self.selection.concerns(order_of(&letter)) {
                return;
            }
            books.letters.add(stream, self.name(stream), &letter, books.findings);
            if let Some(order) = order_of(&letter).filter(|_| waits(&letter)) {
                books.ledger.put_aside(order, stream, letter.header("ce_type"));
            }
        })
        .await
    }

    /// Reads what was added to a topic since it was read last, up to where it ends now.
    pub(crate) async fn read_events(
        &self,
        reading: &mut Reading,
        books: &mut Books<'_>,
        bar: &ProgressBar,
    ) -> Result<(), ReadError> {
        let topic = self.name(reading.stream);
        let mut spans = kept(self.kafka, topic).await?;
        for Span { partition, from, to } in &mut spans {
            let known = reading.ends.insert(*partition, *to);
            *from = (*from).max(known.unwrap_or_default());
        }
        let to_come: u64 = spans.iter().map(Span::count).sum();
        bar.inc_length(to_come);
        read(self.kafka, topic, &spans, |record| {
            reading.note(&record, self.selection, books);
            bar.inc(1);
        })
        .await
    }

    /// Reads the announcements of dead letters, which are about orders too.
    pub(crate) async fn read_announcements(
        &self,
        books: &mut Books<'_>,
    ) -> Result<Counts, ReadError> {
        let topic = &self.names.dead_letters;
        let mut counts = Counts { topic: topic.clone(), ..Counts::default() };
        let mut ids = std::collections::HashSet::new();
        let spans = kept(self.kafka, topic).await?;
        read(self.kafka, topic, &spans, |record| {
            let order = order_of(&record);
            if !self.selection.concerns(order) {
                return;
            }
            counts.records += 1;
            books.findings.checked(Invariant::Causes, 1);
            let id = record.header("ce_id").and_then(|id| Uuid::try_parse_ascii(id).ok());
            let (Some(order), Some(id)) = (order, id) else {
                counts.unreadable += 1;
                return;
            };
            counts.duplicates += u64::from(!ids.insert(id));
            if books.ledger.get_mut(order).is_none() {
                books.unknown.entry(order).or_insert_with(|| named(&record));
            }
        })
        .await?;
        Ok(counts)
    }
}

impl Reading {
    /// How far back every partition reaches, in milliseconds since 1970: records of orders from before may be gone.
    pub(crate) fn horizon(&self) -> Option<i64> {
        let first = |(partition, end): (&i32, &i64)| match self.first.get(partition) {
            Some((0, _)) => None,
            Some((_, timestamp)) => Some(timestamp.unwrap_or(i64::MAX)),
            None => (*end > 0).then_some(i64::MAX),
        };
        self.ends.iter().filter_map(first).max()
    }

    /// Where each partition begins now.
    pub(crate) fn beginnings(&self) -> BTreeMap<i32, i64> {
        let begin = |partition: &i32, end: &i64| {
            self.first.get(partition).map_or(*end, |(offset, _)| *offset)
        };
        self.ends.iter().map(|(partition, end)| (*partition, begin(partition, end))).collect()
    }

    fn note(&mut self, record: &Record, selection: &Selection, books: &mut Books<'_>) {
        self.first.entry(record.partition).or_insert((record.offset, record.timestamp_ms));
        if !selection.concerns(order_of(record)) {
            return;
        }
        self.counts.records += 1;
        books.findings.checked(Invariant::Causes, 1);
        let put_aside = books.letters.compare(self.stream, record, books.findings);
        match decode(self.stream, record) {
            Ok((order, event)) => self.note_event(record, (order, event), put_aside, books),
            Err(error) => {
                self.counts.unreadable += 1;
                if !put_aside {
                    self.note_unreadable(record, error.class(), books);
                }
            }
        }
    }

    fn note_event(
        &mut self,
        record: &Record,
        (order, event): (OrderId, OrderStatus),
        put_aside: bool,
        books: &mut Books<'_>,
    ) {
        if put_aside && self.stream == Stream::Deliveries {
            // Nobody acted on it: the order goes its way as if it were not there.
            return;
        }
        let sighting = Sighting {
            partition: record.partition,
            published_at: record.timestamp_ms,
            is_ahead: !self.is_passed(record),
        };
        match books.ledger.see(order, event, sighting) {
            Seen::First => {}
            Seen::Again => self.counts.duplicates += 1,
            Seen::Unknown if put_aside => {}
            Seen::Unknown => {
                books.unknown.entry(order).or_insert_with(|| named(record));
            }
        }
    }

    /// The group is done with it.
    fn is_passed(&self, record: &Record) -> bool {
        self.passed.get(&record.partition).is_some_and(|passed| record.offset < *passed)
    }

    /// A record that nobody can read becomes a dead letter when its turn comes.
    fn note_unreadable(&self, record: &Record, class: &str, books: &mut Books<'_>) {
        if self.is_passed(record) && self.letters_complete {
            books.findings.violation(Invariant::DeadLetters, order_of(record), || {
                let reader = self.stream.reader();
                format!("{} ({class}) was passed by {reader} and is no dead letter", named(record))
            });
        } else {
            books.findings.not_judged(Invariant::DeadLetters, 1);
        }
    }
}

/// The order, and the status that the event leads to; as the services read it.
fn decode(stream: Stream, record: &Record) -> Result<(OrderId, OrderStatus), DecodeError> {
    fn envelope<E: Event>(record: &Record) -> Result<Envelope<E>, DecodeError> {
        let header = |name: &str| record.header(name);
        Envelope::decode(record.key.as_deref(), record.value.as_deref(), header)
    }
    Ok(match stream {
        Stream::Orders => {
            let order = envelope::<OrderEvent>(record)?.event.order_id();
            (order, OrderStatus::PendingShipment)
        }
        Stream::Deliveries => {
            let DeliveryEvent { order_id, step, .. } = envelope(record)?.event;
            (order_id, step.target())
        }
    })
}

#[cfg(test)]
mod tests;
