//! A producer that is replaced after a fatal error, and when its certificates have changed.

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

use crate::context::{QuietContext, Refusal};

/// Shared by those who send. When the last of them has gone, what is still on its way is given up.
pub(crate) struct Producer(Arc<BaseProducer<QuietContext>>);

/// One call of `poll`, which hands on each answer at once and still lasts until its time is up. The client spins for the
/// last millisecond of it (it waits in whole milliseconds, the rest is 0). Its own `ThreadedProducer` does so ten times a
/// second, which is 1 % of a processor for a producer that has nothing to do.
const POLL: Duration = Duration::from_secs(5);

/// An idempotent producer that met a fatal error answers nothing else for the rest of its life, so whoever meets one has
/// it replaced.
pub(crate) struct RenewedProducer {
    config: ClientConfig,
    /// What a producer reads when it is made.
    files: Vec<PathBuf>,
    current: Mutex<Option<Current>>,
    /// Why brokers did not let it in, if that is so.
    pub(crate) refusal: Refusal,
}

/// The producer of the day.
struct Current {
    producer: Arc<Producer>,
    /// The files, as they were when it was made, or when no other one could be made of them.
    made_of: Stamp,
}

impl RenewedProducer {
    /// Nothing is made or connected before it is needed.
    pub(crate) fn new(config: ClientConfig, files: Vec<PathBuf>) -> Self {
        Self { config, files, current: Mutex::new(None), refusal: Refusal::default() }
    }

    /// Where it looks for brokers, as it was set.
    pub(crate) fn brokers(&self) -> &str {
        self.config.get("bootstrap.servers").unwrap_or_default()
    }

    /// The producer of the day. What was sent by the one before is still answered.
    pub(crate) fn get(&self) -> Result<Arc<Producer>, KafkaError> {
        let mut current = self.current();
        let now = Stamp::of(&self.files);
        if let Some(Current { producer, .. }) = current.as_ref().filter(|it| it.made_of == now) {
            return Ok(producer.clone());
        }
        let made = self.make();
        let producer = match (made, current.take()) {
            (Ok(fresh), _) => fresh,
            (Err(error), None) => return Err(error),
            (Err(error), Some(before)) => {
                tracing::error!(%error, "certificates have changed to what is of no use");
                before.producer
            }
        };
        *current = Some(Current { producer: producer.clone(), made_of: now });
        Ok(producer)
    }

    fn make(&self) -> Result<Arc<Producer>, KafkaError> {
        let context = QuietContext { refusal: self.refusal.clone() };
        let fresh = Arc::new(Producer(Arc::new(self.config.create_with_context(context)?)));
        take_answers(Arc::downgrade(&fresh.0))?;
        Ok(fresh)
    }

    /// The next one who asks gets another producer than `failed`.
    pub(crate) fn replace(&self, failed: &Arc<Producer>) {
        self.current().take_if(|current| Arc::ptr_eq(&current.producer, failed));
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
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
        // The client itself lives on until its thread sees that nobody has it any more. Nor is it waited for here: its own
        // threads may be held up for many seconds, by a name server that does not answer for instance.
        self.0.purge(PurgeConfig::default().queue().inflight().non_blocking());
    }
}

/// Polls in a thread of its own, for as long as somebody else has the producer.
fn take_answers(producer: Weak<BaseProducer<QuietContext>>) -> Result<(), KafkaError> {
    let poll = move || {
        while let Some(producer) = producer.upgrade() {
            producer.poll(POLL);
        }
    };
    match thread::Builder::new().name("kafka answers".to_owned()).spawn(poll) {
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
    use test_kit::eventually;

    use super::*;

    #[tokio::test]
    async fn a_producer_that_failed_for_good_is_replaced_once() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1");
        let producer = RenewedProducer::new(config, Vec::new());
        let failed = producer.get().unwrap();
        producer.replace(&failed);
        let fresh = producer.get().unwrap();
        assert!(!Arc::ptr_eq(&failed, &fresh));
        // Another lane has met the same failure.
        producer.replace(&failed);
        assert!(Arc::ptr_eq(&producer.get().unwrap(), &fresh));
    }

    #[tokio::test]
    async fn a_client_that_nobody_has_any_more_ends() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1");
        let producer = RenewedProducer::new(config, Vec::new());
        let client = Arc::downgrade(&producer.get().unwrap().0);
        assert!(client.upgrade().is_some());
        drop(producer);
        eventually("it has ended", async || client.upgrade().is_none().then_some(())).await;
    }
}
