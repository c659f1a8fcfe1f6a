//! Records that were sent and are not all answered yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::BaseRecord;
use service_kit::Chain;
use service_kit::recorder::RecordedSpan;
use tokio::time::timeout;

use crate::deliveries::Batch;
use crate::publish_error::is_caused_by_the_record;
use crate::renewed_producer::{Producer, RenewedProducer};
use crate::{Publication, PublishError, Publisher};

/// A record before it is sent.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: OwnedHeaders,
}

/// What became of one record, by its place among those that were sent together.
pub(crate) struct Outcome {
    pub(crate) place: usize,
    /// The broker said it, perhaps of a whole set of records; otherwise the client, of this one alone.
    pub(crate) by_broker: bool,
    pub(crate) result: Result<(), KafkaError>,
}

impl Outcome {
    fn of_client(place: usize, error: KafkaError) -> Self {
        Self { place, by_broker: false, result: Err(error) }
    }

    /// Whether the record may have been refused for the fault of another one of its set.
    pub(crate) fn by_set(&self) -> bool {
        self.by_broker && self.result.as_ref().is_err_and(is_caused_by_the_record)
    }
}

/// Records on their way through one producer.
pub(crate) struct Sent {
    through: Arc<RenewedProducer>,
    producer: Option<Arc<Producer>>,
    batch: Arc<Batch>,
    /// What the client itself refused.
    refused: Vec<Outcome>,
}

impl Sent {
    /// Sends all of them, and waits for nothing.
    pub(crate) fn new<'a>(
        through: &Arc<RenewedProducer>,
        records: impl ExactSizeIterator<Item = Outgoing<'a>>,
    ) -> Self {
        let batch = Arc::new(Batch::default());
        let mut sent =
            Self { through: through.clone(), producer: None, batch, refused: Vec::new() };
        if records.len() == 0 {
            return sent;
        }
        let producer = match through.get() {
            Ok(producer) => producer,
            Err(error) => {
                let refused = |place| Outcome::of_client(place, error.clone());
                sent.refused = (0..records.len()).map(refused).collect();
                return sent;
            }
        };
        for (place, Outgoing { topic, key, payload, headers }) in records.enumerate() {
            let ticket = Box::new(sent.batch.ticket(place));
            let mut record = BaseRecord::with_opaque_to(topic, ticket).headers(headers);
            (record.key, record.payload) = (key, payload);
            if let Err((error, record)) = producer.send(record) {
                record.delivery_opaque.withdraw();
                sent.refused.push(Outcome::of_client(place, error));
            }
        }
        sent.producer = Some(producer);
        sent
    }

    /// Waits until every record is answered.
    pub(crate) async fn all(&self) {
        self.batch.all().await;
    }

    /// Waits until every record is answered, as long as some are within each `patience`.
    pub(crate) async fn all_in_time(&self, patience: Duration) {
        self.batch.all_in_time(patience).await;
    }

    /// Waits until there is something to take, or every record is answered.
    pub(crate) async fn any(&self) {
        if self.refused.is_empty() {
            self.batch.any().await;
        }
    }

    /// What has come since the last call.
    pub(crate) fn take(&mut self) -> Vec<Outcome> {
        let mut outcomes = std::mem::take(&mut self.refused);
        let answers = self.batch.take().into_iter();
        outcomes.extend(answers.map(|(place, result)| Outcome { place, by_broker: true, result }));
        if outcomes.iter().any(|outcome| outcome.result.is_ok()) {
            self.through.refusal.over();
        }
        let is_fatal = |outcome: &Outcome| {
            let error = outcome.result.as_ref().err();
            error.and_then(KafkaError::rdkafka_error_code) == Some(RDKafkaErrorCode::Fatal)
        };
        if let Some(producer) = self.producer.as_ref().filter(|_| outcomes.iter().any(is_fatal)) {
            self.through.replace(producer);
        }
        outcomes
    }
}

/// Events on their way, each with what it stands for. Where an event's trace is recorded, its span ends with the answer.
pub struct InFlight<T> {
    publisher: Publisher,
    sent: Sent,
    /// Nothing is at the places that are answered.
    events: Vec<Option<(T, Unanswered)>>,
    waiting: usize,
    /// Each is a set of its own.
    apart: bool,
    started: Instant,
}

/// An event that is not answered yet, or has to be sent again.
#[derive(Debug)]
pub struct Unanswered {
    pub(crate) publication: Publication,
    pub(crate) span: Option<RecordedSpan>,
}

/// Answers that came together.
#[derive(Debug)]
pub struct Answers<T> {
    /// What became of each.
    pub settled: Vec<(T, Result<(), PublishError>)>,
    /// What was refused as a part of a set of records, perhaps for the fault of another one in it. To be sent once more,
    /// by [`Publisher::send_apart`].
    pub suspects: Vec<(T, Unanswered)>,
}

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self { settled: Vec::new(), suspects: Vec::new() }
    }
}

impl<T> InFlight<T> {
    pub(crate) fn new(
        publisher: &Publisher,
        through: &Arc<RenewedProducer>,
        apart: bool,
        events: Vec<(T, Unanswered)>,
    ) -> Self {
        let records = events.iter().map(|(_, event)| event.publication.outgoing());
        let sent = Sent::new(through, records);
        let waiting = events.len();
        let events = events.into_iter().map(Some).collect();
        let started = Instant::now();
        Self { publisher: publisher.clone(), sent, events, waiting, apart, started }
    }

    /// Whether all are answered.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// What is not answered yet.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.events.iter().flatten().map(|(item, _)| item)
    }

    /// The bytes of the values that are not answered yet.
    pub fn bytes(&self) -> usize {
        self.events.iter().flatten().map(|(_, event)| event.publication.payload.len()).sum()
    }

    /// Waits until all are answered, as long as some are within each `patience`. Returns what has come.
    pub async fn answers_within(&mut self, patience: Duration) -> Answers<T> {
        self.sent.all_in_time(patience).await;
        self.take()
    }

    /// Waits until all are answered, but from `patience` on only for the next one. Returns what has come.
    pub async fn answers(&mut self, patience: Duration) -> Answers<T> {
        if timeout(patience, self.sent.all()).await.is_err() {
            self.sent.any().await;
        }
        self.take()
    }

    /// Waits until all are answered.
    pub async fn all(mut self) -> Answers<T> {
        self.sent.all().await;
        self.take()
    }

    fn take(&mut self) -> Answers<T> {
        let mut answers = Answers::default();
        let mut counts = BTreeMap::<&str, u64>::new();
        for outcome in self.sent.take() {
            let Some((item, mut event)) = self.events[outcome.place].take() else { continue };
            self.waiting -= 1;
            if outcome.by_set() && !self.apart {
                answers.suspects.push((item, event));
                continue;
            }
            let result = outcome.result.map_err(|error| self.publisher.failure(error));
            if let (Err(error), Some(span)) = (&result, &mut event.span) {
                span.fail(error.class(), Chain(error).to_string());
            }
            *counts
                .entry(result.as_ref().map_or_else(PublishError::class, |()| "acknowledged"))
                .or_default() += 1;
            answers.settled.push((item, result));
        }
        for (outcome, records) in counts {
            metrics::counter!("kafka_publish_records_total", "outcome" => outcome)
                .increment(records);
        }
        if self.is_empty() {
            metrics::histogram!("kafka_publish_duration_seconds").record(self.started.elapsed());
            metrics::histogram!("kafka_publish_batch_size")
                .record(f64::from(u32::try_from(self.events.len()).unwrap_or(u32::MAX)));
        }
        answers
    }
}

impl<T> std::fmt::Debug for InFlight<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlight").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
