//! Publishing: every record of a batch is sent, then every answer is awaited.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contracts::cloud_events::Attributes;
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders, ToBytes};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};

use crate::context::QuietContext;
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
                | Code::OutOfOrderSequenceNumber
                | Code::DuplicateSequenceNumber
                | Code::UnknownProducerId
                | Code::InvalidProducerEpoch
                | Code::ProducerFenced,
            ) => Self::Unavailable(error),
            _ => Self::Failed(error),
        }
    }
}

/// A producer that is idempotent and waits for all in-sync replicas. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    config: Arc<ClientConfig>,
    producer: Arc<Mutex<FutureProducer<QuietContext>>>,
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
        let producer = Arc::new(Mutex::new(config.create_with_context(QuietContext)?));
        Ok(Self { config: Arc::new(config), producer })
    }

    /// Sends all of them, then waits for the answer to each; in the order given.
    pub async fn publish(&self, events: &[Publication]) -> Vec<Result<(), PublishError>> {
        let producer = self.producer();
        // Collected first: nothing is awaited before everything is sent.
        let sent: Vec<_> = events.iter().map(|event| send(&producer, record(event))).collect();
        let mut answers = join_all(sent).await;
        if events.len() > 1 {
            for (event, answer) in events.iter().zip(&mut answers) {
                // A broker refuses a whole set of records for one of them. Each has a right to an answer of its own.
                if let Err(Unsent::Refused(PublishError::Refused(_))) = answer {
                    *answer = send(&producer, record(event)).await;
                }
            }
        }
        answers.into_iter().map(|answer| answer.map_err(|error| self.settled(error))).collect()
    }

    /// Sends a record with its own bytes and more headers to another topic, and waits for the answer.
    pub(crate) async fn forward(
        &self,
        record: &Record,
        topic: &str,
        more: &[(String, String)],
    ) -> Result<(), PublishError> {
        let mut headers = OwnedHeaders::new();
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        for (key, value) in more {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        let mut copy = FutureRecord::to(topic).headers(headers);
        copy.key = record.key.as_deref();
        copy.payload = record.value.as_deref();
        send(&self.producer(), copy).await.map_err(|error| self.settled(error))
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

    fn producer(&self) -> FutureProducer<QuietContext> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The final answer. An idempotent producer that met a fatal error answers nothing else for the rest of its
    /// life, so the next publish gets a new one.
    fn settled(&self, error: Unsent) -> PublishError {
        let (Unsent::Local(error) | Unsent::Refused(error)) = error;
        if let PublishError::Unavailable(cause) = &error
            && cause.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal)
        {
            match self.config.create_with_context(QuietContext) {
                Ok(fresh) => *self.producer.lock().unwrap_or_else(PoisonError::into_inner) = fresh,
                Err(error) => tracing::error!(%error, "no new producer after a fatal error"),
            }
        }
        error
    }
}

/// Who said no.
enum Unsent {
    /// The client, to this record alone.
    Local(PublishError),
    /// The broker, perhaps to a whole set of records.
    Refused(PublishError),
}

fn send<K, P>(
    producer: &FutureProducer<QuietContext>,
    record: FutureRecord<'_, K, P>,
) -> impl Future<Output = Result<(), Unsent>> + use<K, P>
where
    K: ToBytes + ?Sized,
    P: ToBytes + ?Sized,
{
    let sent = producer.send_result(record).map_err(|(error, _)| error);
    async move {
        match sent.map_err(|error| Unsent::Local(PublishError::from_kafka(error)))?.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(Unsent::Refused(PublishError::from_kafka(error))),
            Err(_canceled) => Err(Unsent::Local(PublishError::Unavailable(KafkaError::Canceled))),
        }
    }
}

fn record(event: &Publication) -> FutureRecord<'_, str, str> {
    let headers = event.attributes.to_headers();
    let headers = headers
        .iter()
        .fold(OwnedHeaders::new_with_capacity(headers.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
    FutureRecord::to(&event.topic)
        .key(event.key.as_str())
        .payload(event.payload.as_str())
        .headers(headers)
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}
