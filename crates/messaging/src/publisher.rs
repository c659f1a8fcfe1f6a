//! Publishing: every record of a batch is sent, then every answer is awaited.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::cloud_events::Attributes;
use futures::FutureExt;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _};
use service_kit::Chain;
use service_kit::health::{Look, ProbeError};

use crate::deliveries::Batch;
use crate::renewed_producer::RenewedProducer;
use crate::spans;
use crate::{KafkaSettings, Record};

/// How long a broker may take to answer a readiness check.
const PROBE_TIMEOUT: Duration = Duration::from_millis(900);

/// An event on its way to a topic.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where it goes.
    pub topic: String,
    /// The record's key.
    pub key: String,
    /// What is said about it.
    pub attributes: Attributes,
    /// The value.
    pub payload: String,
}

/// Why a record was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Broker or topic are away. Nothing is wrong with the record, and it may even have been written.
    #[error("Kafka is unavailable")]
    Unavailable(#[source] KafkaError),
    /// The broker takes nothing from this client, or the client trusts no broker: a password or a certificate is wrong.
    #[error("Kafka does not let this client in: {0}")]
    NotLetIn(String),
    /// Broker or client will refuse this record for ever.
    #[error("Kafka refuses the record")]
    Refused(#[source] KafkaError),
    /// Anything else.
    #[error("the record was not acknowledged")]
    Failed(#[source] KafkaError),
}

/// A readiness check that failed.
#[derive(Debug, thiserror::Error)]
#[error("no answer from a broker of {brokers}")]
struct NoAnswer {
    brokers: String,
    source: KafkaError,
}

impl PublishError {
    /// Whether it is nothing about the record: the next one would have met the same.
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::NotLetIn(_))
    }

    /// A short name that never changes.
    fn class(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::NotLetIn(_) => "not-let-in",
            Self::Refused(_) => "refused",
            Self::Failed(_) => "failed",
        }
    }

    /// Anything that a broker, a network or an administrator can mend is an outage; no record is blamed for it.
    fn from_kafka(error: KafkaError) -> Self {
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessage
                | Code::InvalidMessageSize
                | Code::InvalidRecord
                | Code::InvalidTopic
                | Code::PolicyViolation,
            ) => Self::Refused(error),
            Some(
                Code::MessageTimedOut
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::QueueFull
                | Code::PurgeQueue
                | Code::PurgeInflight
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::Authentication
                | Code::BrokerNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::NotEnoughReplicas
                | Code::NotEnoughReplicasAfterAppend
                | Code::ReplicaNotAvailable
                | Code::KafkaStorageError
                | Code::NetworkException
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::TransactionalIdAuthorizationFailed
                | Code::SaslAuthenticationFailed
                | Code::SSL
                | Code::State
                | Code::ThrottlingQuotaExceeded
                | Code::Fatal
                // What a broker says when it doesn't know itself what is wrong with it.
                | Code::Unknown
                | Code::OutOfOrderSequenceNumber
                | Code::DuplicateSequenceNumber
                | Code::UnknownProducerId
                | Code::InvalidProducerEpoch
                | Code::ProducerFenced,
            )
            // Nobody has looked at the record.
            | None => Self::Unavailable(error),
            _ => Self::Failed(error),
        }
    }
}

/// A publisher whose producers are idempotent and wait for all in-sync replicas. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Gathers records into sets, from everybody who publishes.
    together: Arc<RenewedProducer>,
    /// Sends each record as a set of its own.
    apart: Arc<RenewedProducer>,
    /// Within it, everything that is published together is answered.
    timeout: Duration,
}

impl Publisher {
    /// The largest record that the client itself lets pass, in bytes. A broker takes a little more.
    pub const MAX_BYTES: u32 = 1_000_000;

    /// Makes a producer; it connects by itself.
    pub fn new(client_id: &str, settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::with_max_bytes(client_id, settings, Self::MAX_BYTES)
    }

    /// Makes a producer for records of another size.
    pub(crate) fn with_max_bytes(
        client_id: &str,
        settings: &KafkaSettings,
        max_bytes: u32,
    ) -> Result<Self, KafkaError> {
        let timeout = settings.kafka_publish_timeout;
        let mut config = settings.client(client_id);
        config
            .set("enable.idempotence", "true")
            .set("message.max.bytes", max_bytes.to_string())
            .set("compression.type", "lz4")
            // Where Java's clients put a key, so that any tool finds an order in the partition it expects.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5");
        answer_within(timeout, &mut config);
        let mut config_apart = config.clone();
        config_apart.set("batch.num.messages", "1").set("linger.ms", "0");
        answer_within(timeout / 2, &mut config_apart);
        let together = RenewedProducer::new(config);
        // A setting that the client refuses shows here.
        together.get()?;
        let apart = RenewedProducer::new(config_apart);
        Ok(Self { together: Arc::new(together), apart: Arc::new(apart), timeout })
    }

    /// Sends all of them, then waits for the answer to each; in the order given. It takes no longer than one record may.
    ///
    /// Where a record's trace is recorded, its headers go on from the span of its sending.
    pub async fn publish(&self, mut events: Vec<Publication>) -> Vec<Result<(), PublishError>> {
        let started = Instant::now();
        let mut sends = spans::begin_sends(&mut events);
        let mut answers: Vec<_> = events.iter().map(|_| Ok(())).collect();
        for Unsent { place, error, .. } in
            self.send(events.len(), |place| record(&events[place])).await
        {
            let error = self.failure(error);
            if let Some(span) = sends.get_mut(&place) {
                span.fail(error.class(), Chain(&error).to_string());
            }
            answers[place] = Err(error);
        }
        measure(&answers, started.elapsed());
        answers
    }

    /// Sends a record with its own bytes and more headers to another topic, and waits for the answer.
    pub(crate) async fn forward(
        &self,
        original: &Record,
        topic: &str,
        more: &[(String, String)],
    ) -> Result<(), PublishError> {
        let copy = |_| {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &original.headers {
                headers = headers.insert(Header { key, value: value.as_ref() });
            }
            for (key, value) in more {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            Outgoing {
                topic,
                key: original.key.as_deref(),
                payload: original.value.as_deref(),
                headers,
            }
        };
        match self.send(1, copy).await.pop() {
            None => Ok(()),
            Some(unsent) => Err(self.failure(unsent.error)),
        }
    }

    /// What a record met. Where no broker lets the client in, all that is heard of a record is that its time was up.
    fn failure(&self, error: KafkaError) -> PublishError {
        let failure = PublishError::from_kafka(error);
        let refusal = || self.together.refusal.reason().or_else(|| self.apart.refusal.reason());
        match (failure.is_outage(), refusal()) {
            (true, Some(reason)) => PublishError::NotLetIn(reason),
            _ => failure,
        }
    }

    /// Sends a record for each place up to `count`, and returns those that were not written.
    ///
    /// A broker refuses a whole set of records for one of them, and each has a right to an answer of its own. So what was
    /// refused, perhaps for another's fault, is sent once more by itself, as long as there is time for that; else it counts
    /// as unanswered, and can come with the next batch.
    async fn send<'a>(&self, count: usize, record: impl Fn(usize) -> Outgoing<'a>) -> Vec<Unsent> {
        let started = Instant::now();
        let everything: Vec<usize> = (0..count).collect();
        // The client itself sees to it that each of the two ends in time.
        let unsent = send(&self.together, &everything, &record).await;
        let (of_a_set, mut unsent): (Vec<_>, Vec<_>) = unsent.into_iter().partition(Unsent::by_set);
        let again: Vec<usize> = of_a_set.into_iter().map(|it| it.place).collect();
        unsent.extend(if started.elapsed() <= self.timeout / 2 {
            send(&self.apart, &again, &record).await
        } else {
            again.into_iter().map(Unsent::unanswered).collect()
        });
        unsent
    }

    /// A check for a readiness endpoint: whether a broker answers.
    pub fn probe(&self) -> impl Fn() -> Look + Send + Sync + 'static {
        let together = self.together.clone();
        move || {
            let together = together.clone();
            async move { tokio::task::spawn_blocking(move || probe(&together)).await? }.boxed()
        }
    }
}

/// Asks any broker for an answer, and blocks until it comes. That one answers does not end the refusal of another.
fn probe(producer: &RenewedProducer) -> Result<(), ProbeError> {
    let answer = producer.get().and_then(|it| it.client().fetch_metadata(None, PROBE_TIMEOUT));
    answer.map(drop).map_err(|source| match producer.refusal.reason() {
        Some(reason) => PublishError::NotLetIn(reason).into(),
        None => NoAnswer { brokers: producer.brokers().to_owned(), source }.into(),
    })
}

/// Counts what came of a batch.
fn measure(answers: &[Result<(), PublishError>], duration: Duration) {
    metrics::histogram!("kafka_publish_duration_seconds").record(duration);
    metrics::histogram!("kafka_publish_batch_size")
        .record(f64::from(u32::try_from(answers.len()).unwrap_or(u32::MAX)));
    for (outcome, answered_so) in [
        ("acknowledged", Result::is_ok as fn(&Result<(), PublishError>) -> bool),
        ("unavailable", |answer| matches!(answer, Err(PublishError::Unavailable(_)))),
        ("refused", |answer| matches!(answer, Err(PublishError::Refused(_)))),
        ("failed", |answer| matches!(answer, Err(PublishError::Failed(_)))),
    ] {
        let records = answers.iter().filter(|answer| answered_so(answer)).count();
        metrics::counter!("kafka_publish_records_total", "outcome" => outcome)
            .increment(records as u64);
    }
}

/// An answer is due within `time`, be it that there was none.
fn answer_within(time: Duration, config: &mut ClientConfig) {
    let ms = time.as_millis().to_string();
    config.set("message.timeout.ms", &ms).set("request.timeout.ms", &ms);
}

/// Sends a record for each place, all before the first answer is awaited, and returns those that were not written.
async fn send<'a>(
    through: &RenewedProducer,
    places: &[usize],
    record: impl Fn(usize) -> Outgoing<'a>,
) -> Vec<Unsent> {
    if places.is_empty() {
        return Vec::new();
    }
    let unsent = |place, by_broker, error| Unsent { place, by_broker, error };
    let producer = match through.get() {
        Ok(producer) => producer,
        Err(error) => return places.iter().map(|it| unsent(*it, false, error.clone())).collect(),
    };
    let batch = Arc::new(Batch::default());
    let mut failed = Vec::new();
    for place in places {
        let Outgoing { topic, key, payload, headers } = record(*place);
        let mut record =
            BaseRecord::with_opaque_to(topic, Box::new(batch.ticket(*place))).headers(headers);
        (record.key, record.payload) = (key, payload);
        if let Err((error, record)) = producer.send(record) {
            record.delivery_opaque.withdraw();
            failed.push(unsent(*place, false, error));
        }
    }
    let refused = batch.refusals().await.into_iter();
    failed.extend(refused.map(|(place, error)| unsent(place, true, error)));
    if failed.len() < places.len() {
        through.refusal.over();
    }
    if failed.iter().any(Unsent::is_fatal) {
        through.replace(&producer);
    }
    failed
}

/// A record before it is sent.
struct Outgoing<'a> {
    topic: &'a str,
    key: Option<&'a [u8]>,
    payload: Option<&'a [u8]>,
    headers: OwnedHeaders,
}

/// A record that was not written.
struct Unsent {
    place: usize,
    /// The broker said no, perhaps to a whole set of records; otherwise the client, to this one alone.
    by_broker: bool,
    error: KafkaError,
}

impl Unsent {
    /// The time was up before there was an answer.
    fn unanswered(place: usize) -> Self {
        Self { place, by_broker: false, error: KafkaError::Canceled }
    }

    fn is_fatal(&self) -> bool {
        self.error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
    }

    /// Whether it may have been refused for another's fault.
    fn by_set(&self) -> bool {
        self.by_broker
            && matches!(PublishError::from_kafka(self.error.clone()), PublishError::Refused(_))
    }
}

fn record(event: &Publication) -> Outgoing<'_> {
    let mut headers = OwnedHeaders::new_with_capacity(12);
    event.attributes.visit_headers(|key, value| {
        let empty = OwnedHeaders::new_with_capacity(0);
        headers = mem::replace(&mut headers, empty).insert(Header { key, value: Some(value) });
    });
    Outgoing {
        topic: &event.topic,
        key: Some(event.key.as_bytes()),
        payload: Some(event.payload.as_bytes()),
        headers,
    }
}
