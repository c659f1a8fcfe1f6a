//! A producer that is replaced after a fatal error, when it has lost all brokers, and when its
//! certificates have changed.

use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};
use service_kit::credentials::Stamp;

use crate::PublishError;
use crate::client::context::{AuthFailure, QuietContext};

/// A producer that its senders share. Dropping the last reference purges the records that are still
/// in flight.
pub(crate) struct Producer(Arc<BaseProducer<QuietContext>>);

/// Timeout of one call of `poll`, which handles each delivery report at once and still lasts until
/// the timeout. The client spins for the last millisecond of it (it waits in whole milliseconds,
/// and the rest is 0). Its own `ThreadedProducer` does so ten times a second, which costs an idle
/// producer 1 % of a processor.
const POLL: Duration = Duration::from_secs(5);

/// After a fatal error, an idempotent producer returns only that error. So a sender that gets one
/// replaces the producer.
pub(crate) struct RenewedProducer {
    config: ClientConfig,
    /// The files that a producer reads when it is created.
    files: Vec<PathBuf>,
    current: Mutex<Option<Current>>,
    /// The last authentication failure of a broker or of the client, if any.
    pub(crate) auth_failure: AuthFailure,
}

/// The current producer.
struct Current {
    producer: Arc<Producer>,
    /// The state of the files when this producer was created, or when creating a newer one from
    /// them failed.
    loaded_from: Stamp,
}

impl RenewedProducer {
    /// The producer is created when it is first used.
    pub(crate) fn new(config: ClientConfig, files: Vec<PathBuf>) -> Self {
        Self { config, files, current: Mutex::new(None), auth_failure: AuthFailure::default() }
    }

    /// The configured bootstrap brokers.
    pub(crate) fn brokers(&self) -> &str {
        self.config.get("bootstrap.servers").unwrap_or_default()
    }

    /// The current producer. Records of the previous one still get their delivery reports.
    pub(crate) fn get(&self) -> Result<Arc<Producer>, KafkaError> {
        let mut current = self.current();
        let now = Stamp::of(&self.files);
        let usable = |it: &&Current| it.loaded_from == now && !it.producer.is_lost();
        if let Some(Current { producer, .. }) = current.as_ref().filter(usable) {
            return Ok(producer.clone());
        }
        let made = self.make();
        let producer = match (made, current.take()) {
            (Ok(fresh), _) => fresh,
            (Err(error), None) => return Err(error),
            (Err(error), Some(before)) => {
                tracing::error!(%error, "the Kafka client cannot be replaced; keeping the old one");
                before.producer
            }
        };
        *current = Some(Current { producer: producer.clone(), loaded_from: now });
        Ok(producer)
    }

    /// The error of a record. While authentication fails, the client reports only timeouts, so they
    /// are replaced by the authentication failure.
    pub(crate) fn failure(&self, error: KafkaError) -> PublishError {
        let failure = PublishError::from_kafka(error);
        match self.auth_failure.reason().filter(|_| failure.is_condition()) {
            Some(reason) => PublishError::AuthenticationFailed(reason),
            None => failure,
        }
    }

    fn make(&self) -> Result<Arc<Producer>, KafkaError> {
        let context = QuietContext::new(self.auth_failure.clone());
        let fresh = Arc::new(Producer(Arc::new(self.config.create_with_context(context)?)));
        spawn_poller(Arc::downgrade(&fresh.0))?;
        Ok(fresh)
    }

    /// Discards `failed`, so that the next [`Self::get`] returns another producer.
    pub(crate) fn replace(&self, failed: &Arc<Producer>) {
        self.current().take_if(|current| Arc::ptr_eq(&current.producer, failed));
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Producer {
    fn is_lost(&self) -> bool {
        self.0.client().context().lost.is_cancelled()
    }
}

impl Deref for Producer {
    type Target = BaseProducer<QuietContext>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // The client itself lives until the polling thread has dropped it. Do not wait for that
        // here: the client's own threads can be blocked for many seconds, for example by a name
        // server that does not respond.
        self.0.purge(PurgeConfig::default().queue().inflight().non_blocking());
    }
}

/// Polls on a separate thread while other references to the producer exist.
fn spawn_poller(producer: Weak<BaseProducer<QuietContext>>) -> Result<(), KafkaError> {
    let poll = move || {
        while let Some(producer) = producer.upgrade() {
            producer.poll(POLL);
        }
    };
    match thread::Builder::new().name("kafka-poll".to_owned()).spawn(poll) {
        Ok(_) => Ok(()),
        Err(error) => Err(KafkaError::ClientCreation(error.to_string())),
    }
}

impl fmt::Debug for RenewedProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewedProducer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::BaseRecord;
    use test_kit::{PrivateStack, World, eventually};

    use super::*;
    use crate::publisher::deliveries::Batch;

    /// Nothing listens on this port.
    fn without_a_broker() -> RenewedProducer {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1");
        RenewedProducer::new(config, Vec::new())
    }

    #[tokio::test]
    async fn a_failed_producer_is_replaced_once() {
        let producer = without_a_broker();
        let failed = producer.get().unwrap();
        producer.replace(&failed);
        let fresh = producer.get().unwrap();
        assert!(!Arc::ptr_eq(&failed, &fresh));
        // Another lane got the same error.
        producer.replace(&failed);
        assert!(Arc::ptr_eq(&producer.get().unwrap(), &fresh));
    }

    #[tokio::test]
    async fn a_producer_closes_its_client_when_it_is_dropped() {
        let producer = without_a_broker();
        let client = Arc::downgrade(&producer.get().unwrap().0);
        assert!(client.upgrade().is_some());
        drop(producer);
        eventually("it is dropped", async || client.upgrade().is_none().then_some(())).await;
    }

    #[tokio::test]
    async fn a_producer_that_has_lost_all_brokers_is_replaced() {
        let producer = without_a_broker();
        let lost = producer.get().unwrap();
        lost.client().context().lost.cancel();
        let fresh = producer.get().unwrap();
        assert!(!Arc::ptr_eq(&lost, &fresh));
        assert!(Arc::ptr_eq(&producer.get().unwrap(), &fresh));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_producer_connects_again_after_a_restart_of_the_broker() {
        // So many requests for metadata that some are answered while the broker stops or starts.
        // librdkafka then loses all brokers in some of the clients.
        const CLIENTS: usize = 20;
        let stack = PrivateStack::start("test-lost-brokers");
        let world = World::create_on(stack.addresses()).await;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &world.stack.kafka_brokers)
            .set("topic.metadata.refresh.interval.ms", "10")
            .set("reconnect.backoff.max.ms", "100")
            .set("statistics.interval.ms", "500");
        let renewed = || RenewedProducer::new(config.clone(), Vec::new());
        let producers: Vec<RenewedProducer> = (0..CLIENTS).map(|_| renewed()).collect();
        let publish_with_each = async || {
            for producer in &producers {
                eventually("the producer publishes", async || {
                    let batch = Arc::new(Batch::default());
                    let ticket = Box::new(batch.ticket(0));
                    let record =
                        BaseRecord::with_opaque_to(&world.topics.order_events, ticket).key("key");
                    let _: Result<_, _> = producer.get().unwrap().send(record.payload("value"));
                    batch.all_or_idle(Duration::from_secs(1)).await;
                    batch.take().first()?.1.clone().ok()
                })
                .await;
            }
        };
        publish_with_each().await;
        stack.stop("kafka");
        stack.start_again("kafka");
        publish_with_each().await;
    }
}
