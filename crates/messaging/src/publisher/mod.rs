//! Publishes records, and reports the outcome of each when its delivery report arrives.

mod deliveries;
pub(crate) mod in_flight;
pub(crate) mod in_flight_batches;
pub(crate) mod publish_error;
pub(crate) mod renewed_producer;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::message::EventMessage;
use futures::FutureExt;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::Producer as _;
use service_kit::health::{ProbeError, ProbeFuture};
use tokio::sync::Mutex;

use crate::publisher::in_flight::{InFlight, Outcome, Outgoing, PendingEvent, Sent};
use crate::publisher::renewed_producer::{Producer, RenewedProducer};
use crate::{KafkaSettings, PublishError, Record};

/// Timeout of a readiness check.
const PROBE_TIMEOUT: Duration = Duration::from_millis(900);

/// How long the result of a probe is reused.
const PROBE_TTL: Duration = Duration::from_secs(2);

/// A readiness check that failed.
#[derive(Debug, thiserror::Error)]
#[error("no response from any broker of {brokers}")]
struct BrokerUnreachable {
    brokers: String,
    source: KafkaError,
}

/// A publisher whose producers wait for all in-sync replicas. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Collects the records of all callers into record batches. Idempotent.
    batched: Arc<RenewedProducer>,
    /// Sends each record as its own record batch. Not idempotent: a broker that refuses one record
    /// would refuse those behind it too, for the gap in their sequence. Each is of another order.
    individual: Arc<RenewedProducer>,
    /// The topic whose metadata a probe requests.
    topic: Arc<str>,
    /// Time and result of the last probe.
    last_probe: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Publisher {
    /// The largest record that the client accepts, in bytes. A broker accepts a little more.
    pub const MAX_BYTES: u32 = 1_000_000;

    /// Creates a publisher. It connects in the background. Probes request the metadata of `topic`,
    /// one of the topics that it publishes to, because metadata of all topics takes long in a large
    /// cluster.
    pub fn new(client_id: &str, topic: &str, settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::with_max_bytes(client_id, topic, settings, Self::MAX_BYTES)
    }

    /// Creates a publisher for records of any size. The broker enforces the limit of the topic. The
    /// client's own limit would apply to the record before compression.
    pub(crate) fn of_any_size(
        client_id: &str,
        topic: &str,
        settings: &KafkaSettings,
    ) -> Result<Self, KafkaError> {
        /// The largest value that the client accepts.
        const ANY: u32 = 1_000_000_000;
        Self::with_max_bytes(client_id, topic, settings, ANY)
    }

    fn with_max_bytes(
        client_id: &str,
        topic: &str,
        settings: &KafkaSettings,
        max_bytes: u32,
    ) -> Result<Self, KafkaError> {
        let timeout = settings.kafka_publish_timeout.as_millis().to_string();
        let mut config = settings.client(client_id);
        config
            .set("enable.idempotence", "true")
            .set("message.max.bytes", max_bytes.to_string())
            .set("compression.type", "lz4")
            // The partitioner of the Java clients, so that any tool finds an order in the expected
            // partition.
            .set("partitioner", "murmur2_random")
            // The events of a batch are sent at once, so a longer wait would only delay them.
            .set("linger.ms", "0.5")
            // Shows whether the client has lost all brokers.
            .set("statistics.interval.ms", "5000")
            .set("message.timeout.ms", &timeout)
            .set("request.timeout.ms", &timeout);
        let mut config_individual = config.clone();
        config_individual
            .set("enable.idempotence", "false")
            .set("acks", "all")
            .set("batch.num.messages", "1")
            .set("linger.ms", "0");
        let files = settings.security.files();
        let batched = RenewedProducer::new(config, files.clone());
        // Fails on settings that the client rejects.
        batched.get()?;
        let individual = RenewedProducer::new(config_individual, files);
        let (batched, individual) = (Arc::new(batched), Arc::new(individual));
        Ok(Self { batched, individual, topic: topic.into(), last_probe: Arc::default() })
    }

    /// Sends all events without waiting. Each gets a delivery report within the publish timeout.
    ///
    /// If the trace of an event is sampled, its headers continue the span of its sending.
    pub fn send<T>(&self, events: Vec<(T, Arc<EventMessage>)>) -> InFlight<T> {
        let events = events.into_iter().map(|(item, message)| (item, PendingEvent::new(message)));
        InFlight::new(&self.batched, false, events.collect())
    }

    /// Sends events again that were refused as part of a record batch. Each is its own record batch
    /// now, so its delivery report concerns this event only.
    pub fn send_individually<T>(&self, events: Vec<(T, PendingEvent)>) -> InFlight<T> {
        InFlight::new(&self.individual, true, events)
    }

    /// Sends a copy of a record with additional headers to another topic, and waits for the
    /// delivery report.
    pub(crate) async fn forward(
        &self,
        original: &Record,
        topic: &str,
        more: &[(String, String)],
    ) -> Result<(), PublishError> {
        let copy = || {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &original.headers {
                headers = headers.insert(Header { key, value: value.as_ref() });
            }
            for (key, value) in more {
                headers = headers.insert(Header { key, value: Some(value) });
            }
            Outgoing {
                topic,
                key: original.key.as_deref().map(Cow::from),
                payload: original.value.as_deref(),
                headers,
            }
        };
        // Concurrent callers share record batches, and a broker refuses a whole batch because of
        // one record.
        let mut producer = &self.batched;
        let mut outcome = forwarded(producer, copy()).await;
        if outcome.as_ref().is_some_and(Outcome::by_batch) {
            producer = &self.individual;
            outcome = forwarded(producer, copy()).await;
        }
        match outcome.map(|outcome| outcome.result) {
            Some(Err(error)) => Err(producer.failure(error)),
            _ => Ok(()),
        }
    }

    /// Whether any broker responds. Probes at most once per [`PROBE_TTL`], however often it is
    /// called.
    pub async fn is_reachable(&self) -> bool {
        let mut last = self.last_probe.lock().await;
        match *last {
            Some((at, reachable)) if at.elapsed() < PROBE_TTL => reachable,
            _ => {
                let (batched, topic) = (self.batched.clone(), self.topic.clone());
                let probe = tokio::task::spawn_blocking(move || probe(&batched, &topic).is_ok());
                let reachable = probe.await.unwrap_or(false);
                *last = Some((Instant::now(), reachable));
                reachable
            }
        }
    }

    /// A readiness check: whether a broker responds.
    pub fn probe(&self) -> impl Fn() -> ProbeFuture + Send + Sync + 'static {
        let (batched, topic) = (self.batched.clone(), self.topic.clone());
        move || {
            let (batched, topic) = (batched.clone(), topic.clone());
            async move { tokio::task::spawn_blocking(move || probe(&batched, &topic)).await? }
                .boxed()
        }
    }
}

/// Requests metadata from any broker, and blocks until the response. A response does not clear the
/// authentication failure of another broker.
fn probe(producer: &RenewedProducer, topic: &str) -> Result<(), ProbeError> {
    let fetch = |it: Arc<Producer>| it.client().fetch_metadata(Some(topic), PROBE_TIMEOUT);
    let metadata = producer.get().and_then(fetch);
    metadata.map(drop).map_err(|source| match producer.auth_failure.reason() {
        Some(reason) => PublishError::AuthenticationFailed(reason).into(),
        None => BrokerUnreachable { brokers: producer.brokers().to_owned(), source }.into(),
    })
}

/// Sends one record and waits for the delivery report.
async fn forwarded(through: &Arc<RenewedProducer>, record: Outgoing<'_>) -> Option<Outcome> {
    let mut sent = Sent::new(through, [record].into_iter());
    sent.all().await;
    sent.take().pop()
}
