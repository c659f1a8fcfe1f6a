//! Publishing: every record of a batch is sent, then every answer is awaited.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, mem};

use contracts::cloud_events::Attributes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::time::{Instant, timeout_at};

use crate::deliveries::{Batch, Deliveries};
use crate::{KafkaSettings, Record};

/// How long a broker may take to answer a readiness check.
const PROBE_TIMEOUT: Duration = Duration::from_millis(900);

/// The client looks for records whose time is up once a second.
const GRACE: Duration = Duration::from_secs(1);

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
    /// Broker or client will refuse this record for ever.
    #[error("Kafka refuses the record")]
    Refused(#[source] KafkaError),
    /// Anything else.
    #[error("the record was not acknowledged")]
    Failed(#[source] KafkaError),
}

impl PublishError {
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

type Producer = Arc<ThreadedProducer<Deliveries>>;

/// A producer that is idempotent and waits for all in-sync replicas. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    config: Arc<ClientConfig>,
    producer: Arc<Mutex<Producer>>,
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
        let timeout_ms = settings.kafka_publish_timeout.as_millis().to_string();
        let mut config = settings.client(client_id);
        config
            .set("enable.idempotence", "true")
            .set("message.max.bytes", max_bytes.to_string())
            .set("message.timeout.ms", &timeout_ms)
            .set("request.timeout.ms", &timeout_ms)
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            // Where Java's clients put a key, so that any tool finds an order in the partition it expects.
            .set("partitioner", "murmur2_random");
        let producer: ThreadedProducer<_> = config.create_with_context(Deliveries)?;
        let producer = Arc::new(Mutex::new(Arc::new(producer)));
        Ok(Self { config: Arc::new(config), producer, timeout: settings.kafka_publish_timeout })
    }

    /// Sends all of them, then waits for the answer to each; in the order given. It takes no longer than one record may.
    pub async fn publish(&self, events: &[Publication]) -> Vec<Result<(), PublishError>> {
        let deadline = Instant::now() + self.timeout;
        let producer = self.producer();
        let mut unsent = Vec::new();
        let everything: Vec<usize> = (0..events.len()).collect();
        // A broker refuses a whole set of records for one of them. Each has a right to an answer of its own, so each half
        // is tried again by itself, as long as there is time for an answer. What is left then is tried with the next batch.
        let mut sets = vec![everything];
        while let Some(set) = sets.pop() {
            let answer = send(&producer, &set, |place| record(&events[place]));
            let refused = if set.len() == events.len() {
                // The client itself sees to it that this ends in time.
                answer.await
            } else if Instant::now() + self.timeout / 2 > deadline {
                set.iter().copied().map(Unsent::untried).collect()
            } else {
                let answer = timeout_at(deadline + GRACE, answer).await;
                answer.unwrap_or_else(|_| set.iter().copied().map(Unsent::untried).collect())
            };
            let (of_a_set, alone): (Vec<_>, Vec<_>) =
                refused.into_iter().partition(|it| set.len() > 1 && it.by_set());
            unsent.extend(alone);
            let mut places: Vec<usize> = of_a_set.into_iter().map(|it| it.place).collect();
            if !places.is_empty() {
                places.sort_unstable();
                let second = places.split_off(places.len() / 2);
                sets.extend([second, places].into_iter().filter(|half| !half.is_empty()));
            }
        }
        let mut answers: Vec<_> = events.iter().map(|_| Ok(())).collect();
        if unsent.iter().any(Unsent::is_fatal) {
            self.replace(&producer);
        }
        for Unsent { place, error, .. } in unsent {
            answers[place] = Err(PublishError::from_kafka(error));
        }
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
        let producer = self.producer();
        let Some(unsent) = send(&producer, &[0], copy).await.pop() else { return Ok(()) };
        if unsent.is_fatal() {
            self.replace(&producer);
        }
        Err(PublishError::from_kafka(unsent.error))
    }

    /// A check for a readiness endpoint: whether a broker answers.
    pub fn probe(&self) -> impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static {
        let publisher = self.clone();
        move || {
            let producer = publisher.producer();
            let ask = move || producer.client().fetch_metadata(None, PROBE_TIMEOUT).is_ok();
            async move { tokio::task::spawn_blocking(ask).await.unwrap_or(false) }.boxed()
        }
    }

    fn producer(&self) -> Producer {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An idempotent producer that met a fatal error answers nothing else for the rest of its life, so the next publish
    /// gets a new one; unless somebody has put one in its place already.
    fn replace(&self, failed: &Producer) {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&current, failed) {
            return;
        }
        match self.config.create_with_context(Deliveries) {
            Ok(fresh) => {
                let failed = mem::replace(&mut *current, Arc::new(fresh));
                // Its end waits for its own thread. Where there is no thread to wait on, it ends here.
                drop(std::thread::Builder::new().spawn(move || drop(failed)));
            }
            Err(error) => tracing::error!(%error, "no new producer after a fatal error"),
        }
    }
}

/// Sends a record for each place, all before the first answer is awaited, and returns those that were not written.
async fn send<'a>(
    producer: &Producer,
    places: &[usize],
    record: impl Fn(usize) -> Outgoing<'a>,
) -> Vec<Unsent> {
    let batch = Arc::new(Batch::default());
    let mut unsent = Vec::new();
    for place in places {
        let Outgoing { topic, key, payload, headers } = record(*place);
        let mut record =
            BaseRecord::with_opaque_to(topic, Box::new(batch.ticket(*place))).headers(headers);
        (record.key, record.payload) = (key, payload);
        if let Err((error, record)) = producer.send(record) {
            record.delivery_opaque.withdraw();
            unsent.push(Unsent { place: *place, by_broker: false, error });
        }
    }
    let refused = batch.refusals().await.into_iter();
    unsent.extend(refused.map(|(place, error)| Unsent { place, by_broker: true, error }));
    unsent
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
    fn untried(place: usize) -> Self {
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

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_producer_that_failed_for_good_is_replaced_once() {
        let settings = KafkaSettings {
            kafka_brokers: "127.0.0.1:1".to_owned(),
            kafka_publish_timeout: Duration::from_secs(1),
        };
        let publisher = Publisher::new("test", &settings).unwrap();
        let failed = publisher.producer();
        publisher.replace(&failed);
        let fresh = publisher.producer();
        assert!(!Arc::ptr_eq(&failed, &fresh));
        // Another lane has met the same failure.
        publisher.replace(&failed);
        assert!(Arc::ptr_eq(&publisher.producer(), &fresh));
    }
}
