//! Records that were sent, and do not all have a delivery report yet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::message::EventMessage;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::BaseRecord;
use service_kit::Chain;
use service_kit::convert::count;
use service_kit::telemetry::batch_tracer::RecordedSpan;
use tokio::time::timeout;

use crate::publisher::deliveries::Batch;
use crate::publisher::publish_error::is_caused_by_the_record;
use crate::publisher::renewed_producer::{Producer, RenewedProducer};
use crate::{PublishError, spans};

/// A record to send.
pub(crate) struct Outgoing<'a> {
    pub(crate) topic: &'a str,
    pub(crate) key: Option<Cow<'a, [u8]>>,
    pub(crate) payload: Option<&'a [u8]>,
    pub(crate) headers: OwnedHeaders,
}

impl<'a> From<&'a EventMessage> for Outgoing<'a> {
    fn from(message: &'a EventMessage) -> Self {
        // An insert consumes the headers and returns them.
        let mut headers = Some(OwnedHeaders::new_with_capacity(12));
        message.attributes.visit_headers(|key, value| {
            let header = Header { key, value: Some(value) };
            headers = headers.take().map(|headers| headers.insert(header));
        });
        Self {
            topic: &message.topic,
            key: Some(Cow::from(message.order_id().to_string().into_bytes())),
            payload: Some(message.payload.as_bytes()),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// The outcome of one record, by its index among the records that were sent together.
pub(crate) struct Outcome {
    pub(crate) place: usize,
    /// From a delivery report, which may concern a whole record batch. Otherwise the client refused
    /// this one record before sending it.
    pub(crate) by_broker: bool,
    pub(crate) result: Result<(), KafkaError>,
}

impl Outcome {
    fn of_client(place: usize, error: KafkaError) -> Self {
        Self { place, by_broker: false, result: Err(error) }
    }

    /// Whether the record may have been refused because of another record in its batch.
    pub(crate) fn by_batch(&self) -> bool {
        self.by_broker && self.result.as_ref().is_err_and(is_caused_by_the_record)
    }
}

/// Records that were sent through one producer.
pub(crate) struct Sent {
    through: Arc<RenewedProducer>,
    producer: Option<Arc<Producer>>,
    batch: Arc<Batch>,
    /// The records that the client refused to send.
    refused: Vec<Outcome>,
}

impl Sent {
    /// Sends all records without waiting.
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
            (record.key, record.payload) = (key.as_deref(), payload);
            if let Err((error, record)) = producer.send(record) {
                record.delivery_opaque.withdraw();
                sent.refused.push(Outcome::of_client(place, error));
            }
        }
        sent.producer = Some(producer);
        sent
    }

    /// Waits until every record has a delivery report.
    pub(crate) async fn all(&self) {
        self.batch.all().await;
    }

    /// Waits until every record has a delivery report, or none arrives for `idle_timeout`.
    pub(crate) async fn all_or_idle(&self, idle_timeout: Duration) {
        self.batch.all_or_idle(idle_timeout).await;
    }

    /// Waits until there is an outcome to take, or every record has a delivery report.
    pub(crate) async fn any(&self) {
        if self.refused.is_empty() {
            self.batch.any().await;
        }
    }

    /// The outcomes since the last call.
    pub(crate) fn take(&mut self) -> Vec<Outcome> {
        let mut outcomes = mem::take(&mut self.refused);
        let reports = self.batch.take().into_iter();
        outcomes.extend(reports.map(|(place, result)| Outcome { place, by_broker: true, result }));
        if outcomes.iter().any(|outcome| outcome.result.is_ok()) {
            self.through.auth_failure.over();
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

/// Events in flight, each with an item of the sender. If the trace of an event is sampled, its span
/// ends with the delivery report.
pub struct InFlight<T> {
    sent: Sent,
    /// `None` for events whose delivery report was taken.
    events: Vec<Option<(T, PendingEvent)>>,
    waiting: usize,
    /// Whether each record is sent as its own record batch.
    individual: bool,
    started: Instant,
}

/// An event without a delivery report, or one to send again.
#[derive(Debug)]
pub struct PendingEvent {
    pub(crate) message: Arc<EventMessage>,
    pub(crate) span: Option<RecordedSpan>,
}

impl PendingEvent {
    /// Begins the span of sending it, if its trace is sampled.
    pub(crate) fn new(mut message: Arc<EventMessage>) -> Self {
        let span = spans::begin_send(&mut message);
        Self { message, span }
    }
}

/// Delivery reports that were taken together.
#[derive(Debug)]
pub struct DeliveryReports<T> {
    /// The outcome of each event.
    pub settled: Vec<(T, Result<(), PublishError>)>,
    /// Events that were refused as part of a record batch, possibly because of another record in
    /// it. Send them again with [`crate::Publisher::send_individually`].
    pub to_resend: Vec<(T, PendingEvent)>,
}

impl<T> Default for DeliveryReports<T> {
    fn default() -> Self {
        Self { settled: Vec::new(), to_resend: Vec::new() }
    }
}

impl<T> InFlight<T> {
    pub(crate) fn new(
        through: &Arc<RenewedProducer>,
        individual: bool,
        events: Vec<(T, PendingEvent)>,
    ) -> Self {
        let records = events.iter().map(|(_, event)| Outgoing::from(&*event.message));
        let sent = Sent::new(through, records);
        let waiting = events.len();
        let events = events.into_iter().map(Some).collect();
        let started = Instant::now();
        Self { sent, events, waiting, individual, started }
    }

    /// Whether every event has a delivery report.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// The items of the events without a delivery report.
    pub fn waiting(&self) -> impl Iterator<Item = &T> {
        self.events.iter().flatten().map(|(item, _)| item)
    }

    /// The size of the values without a delivery report, in bytes.
    pub fn bytes(&self) -> usize {
        self.events.iter().flatten().map(|(_, event)| event.message.payload.len()).sum()
    }

    /// Waits until every event has a delivery report, or none arrives for `idle_timeout`. Returns the
    /// reports since the last call.
    pub async fn reports_within(&mut self, idle_timeout: Duration) -> DeliveryReports<T> {
        self.sent.all_or_idle(idle_timeout).await;
        self.take()
    }

    /// Waits for every delivery report, but after `wait_for_all` only for the next one. Returns the
    /// reports since the last call.
    pub async fn reports(&mut self, wait_for_all: Duration) -> DeliveryReports<T> {
        if timeout(wait_for_all, self.sent.all()).await.is_err() {
            self.sent.any().await;
        }
        self.take()
    }

    /// Waits until every event has a delivery report.
    pub async fn all(mut self) -> DeliveryReports<T> {
        self.sent.all().await;
        self.take()
    }

    fn take(&mut self) -> DeliveryReports<T> {
        let mut reports = DeliveryReports::default();
        let mut counts = BTreeMap::<&str, u64>::new();
        for outcome in self.sent.take() {
            let Some((item, mut event)) = self.events[outcome.place].take() else { continue };
            self.waiting -= 1;
            if outcome.by_batch() && !self.individual {
                reports.to_resend.push((item, event));
                continue;
            }
            let result = outcome.result.map_err(|error| self.sent.through.failure(error));
            if let (Err(error), Some(span)) = (&result, &mut event.span) {
                span.fail(error.class(), Chain(error).to_string());
            }
            *counts
                .entry(result.as_ref().map_or_else(PublishError::class, |()| "acknowledged"))
                .or_default() += 1;
            reports.settled.push((item, result));
        }
        for (outcome, records) in counts {
            metrics::counter!("kafka_publish_records_total", "outcome" => outcome)
                .increment(records);
        }
        if self.is_empty() {
            metrics::histogram!("kafka_publish_duration_seconds").record(self.started.elapsed());
            metrics::histogram!("kafka_publish_batch_size").record(count(self.events.len()));
        }
        reports
    }
}

impl<T> std::fmt::Debug for InFlight<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InFlight").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}
