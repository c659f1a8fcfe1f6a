//! A producer that is replaced after a fatal error.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::ThreadedProducer;

use crate::context::{QuietContext, Refusal};

pub(crate) type Producer = Arc<ThreadedProducer<QuietContext>>;

/// An idempotent producer that met a fatal error answers nothing else for the rest of its life, so whoever meets one has
/// it replaced.
pub(crate) struct RenewedProducer {
    config: ClientConfig,
    current: Mutex<Option<Producer>>,
    /// Why brokers did not let it in, if that is so.
    pub(crate) refusal: Refusal,
}

impl RenewedProducer {
    /// Nothing is made or connected before it is needed.
    pub(crate) fn new(config: ClientConfig) -> Self {
        Self { config, current: Mutex::new(None), refusal: Refusal::default() }
    }

    /// The producer of the day.
    pub(crate) fn get(&self) -> Result<Producer, KafkaError> {
        let mut current = self.current();
        if let Some(producer) = &*current {
            return Ok(producer.clone());
        }
        let context = QuietContext { refusal: self.refusal.clone() };
        let fresh: Producer = Arc::new(self.config.create_with_context(context)?);
        *current = Some(fresh.clone());
        Ok(fresh)
    }

    /// The next one who asks gets another producer than `failed`.
    pub(crate) fn replace(&self, failed: &Producer) {
        let failed = self.current().take_if(|current| Arc::ptr_eq(current, failed));
        if failed.is_some() {
            // Its end waits for its own thread. Where there is no thread to wait on, it ends here.
            drop(std::thread::Builder::new().spawn(move || drop(failed)));
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Producer>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for RenewedProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewedProducer").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_producer_that_failed_for_good_is_replaced_once() {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1");
        let producer = RenewedProducer::new(config);
        let failed = producer.get().unwrap();
        producer.replace(&failed);
        let fresh = producer.get().unwrap();
        assert!(!Arc::ptr_eq(&failed, &fresh));
        // Another lane has met the same failure.
        producer.replace(&failed);
        assert!(Arc::ptr_eq(&producer.get().unwrap(), &fresh));
    }
}
