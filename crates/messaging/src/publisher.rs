//! Publishing: records are sent, and what became of each is told when its answer comes.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use contracts::cloud_events::Attributes;
use futures::FutureExt;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::Producer as _;
use service_kit::health::{Look, ProbeError};
use tokio::sync::Mutex;

use crate::in_flight::{InFlight, Outcome, Outgoing, Sent, Unanswered};
use crate::renewed_producer::{Producer, RenewedProducer};
use crate::spans;
use crate::{KafkaSettings, PublishError, Record};

/// How long a broker may take to answer a readiness check.
const PROBE_TIMEOUT: Duration = Duration::from_millis(900);

/// For how long it is taken for true that a broker answers, or none.
const ANSWER_LASTS: Duration = Duration::from_secs(2);

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

/// A readiness check that failed.
#[derive(Debug, thiserror::Error)]
#[error("no answer from a broker of {brokers}")]
struct NoAnswer {
    brokers: String,
    source: KafkaError,
}

/// A publisher whose producers are idempotent and wait for all in-sync replicas. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Gathers records into sets, from everybody who publishes.
    together: Arc<RenewedProducer>,
    /// Sends each record as a set of its own.
    apart: Arc<RenewedProducer>,
    /// What a broker is asked about, to see whether it answers.
    topic: Arc<str>,
    /// Whether a broker answered, when somebody asked last.
    last_answer: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl Publisher {
    /// The largest record that the client itself lets pass, in bytes. A broker takes a little more.
    pub const MAX_BYTES: u32 = 1_000_000;

    /// Makes a producer; it connects by itself. `topic` is one that it publishes to: checks ask a broker about this one,
    /// since an answer about all topics takes a large cluster long.
    pub fn new(client_id: &str, topic: &str, settings: &KafkaSettings) -> Result<Self, KafkaError> {
        Self::with_max_bytes(client_id, topic, settings, Self::MAX_BYTES)
    }

    /// Makes a producer for records of any size: what a topic takes, its broker says. The client would count the bytes of
    /// a record before they are compressed.
    pub(crate) fn of_any_size(
        client_id: &str,
        topic: &str,
        settings: &KafkaSettings,
    ) -> Result<Self, KafkaError> {
        /// The most that the client can be told.
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
            // Where Java's clients put a key, so that any tool finds an order in the partition it expects.
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "5")
            .set("message.timeout.ms", &timeout)
            .set("request.timeout.ms", &timeout);
        let mut config_apart = config.clone();
        config_apart.set("batch.num.messages", "1").set("linger.ms", "0");
        let files = settings.security.files();
        let together = RenewedProducer::new(config, files.clone());
        // A setting that the client refuses shows here.
        together.get()?;
        let apart = RenewedProducer::new(config_apart, files);
        let (together, apart) = (Arc::new(together), Arc::new(apart));
        Ok(Self { together, apart, topic: topic.into(), last_answer: Arc::default() })
    }

    /// Sends all of them, and waits for nothing. Each is answered within the time that an answer may take.
    ///
    /// Where a record's trace is recorded, its headers go on from the span of its sending.
    pub fn send<T>(&self, events: Vec<(T, Publication)>) -> InFlight<T> {
        let events =
            events.into_iter().map(|(item, publication)| (item, spans::begin_send(publication)));
        InFlight::new(self, &self.together, false, events.collect())
    }

    /// The same for events that were refused as a part of a set of records: each is a set of its own now, so its answer
    /// is about itself.
    pub fn send_apart<T>(&self, events: Vec<(T, Unanswered)>) -> InFlight<T> {
        InFlight::new(self, &self.apart, true, events)
    }

    /// Sends a record with its own bytes and more headers to another topic, and waits for the answer.
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
                key: original.key.as_deref(),
                payload: original.value.as_deref(),
                headers,
            }
        };
        // Others may forward at the same time, and a broker refuses a whole set of records for one of them.
        let mut result = forwarded(&self.together, copy()).await;
        if result.as_ref().is_some_and(Outcome::by_set) {
            result = forwarded(&self.apart, copy()).await;
        }
        match result.map(|outcome| outcome.result) {
            Some(Err(error)) => Err(self.failure(error)),
            _ => Ok(()),
        }
    }

    /// What a record met. Where no broker lets the client in, all that is heard of a record is that its time was up.
    pub(crate) fn failure(&self, error: KafkaError) -> PublishError {
        let failure = PublishError::from_kafka(error);
        let refusal = || self.together.refusal.reason().or_else(|| self.apart.refusal.reason());
        match (failure.is_condition(), refusal()) {
            (true, Some(reason)) => PublishError::NotLetIn(reason),
            _ => failure,
        }
    }

    /// Whether any broker answers. It asks once in [`ANSWER_LASTS`], however often it is called.
    pub async fn is_answered(&self) -> bool {
        let mut last = self.last_answer.lock().await;
        match *last {
            Some((at, answered)) if at.elapsed() < ANSWER_LASTS => answered,
            _ => {
                let (together, topic) = (self.together.clone(), self.topic.clone());
                let probe = tokio::task::spawn_blocking(move || probe(&together, &topic).is_ok());
                let answered = probe.await.unwrap_or(false);
                *last = Some((Instant::now(), answered));
                answered
            }
        }
    }

    /// A check for a readiness endpoint: whether a broker answers.
    pub fn probe(&self) -> impl Fn() -> Look + Send + Sync + 'static {
        let (together, topic) = (self.together.clone(), self.topic.clone());
        move || {
            let (together, topic) = (together.clone(), topic.clone());
            async move { tokio::task::spawn_blocking(move || probe(&together, &topic)).await? }
                .boxed()
        }
    }
}

/// Asks any broker for an answer, and blocks until it comes. That one answers does not end the refusal of another.
fn probe(producer: &RenewedProducer, topic: &str) -> Result<(), ProbeError> {
    let ask = |it: Arc<Producer>| it.client().fetch_metadata(Some(topic), PROBE_TIMEOUT);
    let answer = producer.get().and_then(ask);
    answer.map(drop).map_err(|source| match producer.refusal.reason() {
        Some(reason) => PublishError::NotLetIn(reason).into(),
        None => NoAnswer { brokers: producer.brokers().to_owned(), source }.into(),
    })
}

/// Sends one record and waits for the answer.
async fn forwarded(through: &Arc<RenewedProducer>, record: Outgoing<'_>) -> Option<Outcome> {
    let mut sent = Sent::new(through, [record].into_iter());
    sent.all().await;
    sent.take().pop()
}

impl Publication {
    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        let mut headers = OwnedHeaders::new_with_capacity(12);
        self.attributes.visit_headers(|key, value| {
            let empty = OwnedHeaders::new_with_capacity(0);
            headers = mem::replace(&mut headers, empty).insert(Header { key, value: Some(value) });
        });
        Outgoing {
            topic: &self.topic,
            key: Some(self.key.as_bytes()),
            payload: Some(self.payload.as_bytes()),
            headers,
        }
    }
}
