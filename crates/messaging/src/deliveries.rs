//! The answers of the broker, counted down batch by batch.
//!
//! A future for each record costs more than the record itself. So each record carries a ticket of its batch, and only
//! what was refused is written down.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;

use crate::context::QuietContext;

/// Records that were sent together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    unanswered: AtomicUsize,
    refusals: Mutex<Vec<(usize, KafkaError)>>,
    answered: Notify,
}

/// A record's part in its batch. When it is dropped, the record has been answered for good.
#[derive(Debug)]
pub(crate) struct Ticket {
    batch: Arc<Batch>,
    place: usize,
    settled: bool,
}

impl Batch {
    /// The ticket of the record at `place`.
    pub(crate) fn ticket(self: &Arc<Self>, place: usize) -> Ticket {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        Ticket { batch: self.clone(), place, settled: false }
    }

    /// Waits until every ticket is back, and returns the places of the records that were not written, with the reasons.
    pub(crate) async fn refusals(&self) -> Vec<(usize, KafkaError)> {
        // The batch has no more tickets to give: the count can only fall.
        while self.unanswered.load(Ordering::Acquire) > 0 {
            self.answered.notified().await;
        }
        mem::take(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(usize, KafkaError)>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The record was never sent, and its sender knows why.
    pub(crate) fn withdraw(mut self) {
        self.settled = true;
    }

    fn settle(mut self, answer: Result<(), KafkaError>) {
        if let Err(error) = answer {
            self.batch.lock().push((self.place, error));
        }
        self.settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Nobody answered: the producer let the record go.
        if !self.settled {
            self.batch.lock().push((self.place, KafkaError::Canceled));
        }
        if self.batch.unanswered.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.batch.answered.notify_one();
        }
    }
}

/// What a producer does with an answer.
impl ProducerContext for QuietContext {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, answer: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        ticket.settle(answer.as_ref().map(|_| ()).map_err(|(error, _)| error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_batch_is_answered_when_its_last_ticket_is_back() {
        let batch = Arc::new(Batch::default());
        let (first, second, third) = (batch.ticket(0), batch.ticket(1), batch.ticket(2));
        first.settle(Ok(()));
        second.settle(Err(KafkaError::Canceled));
        assert!(batch.refusals().now_or_never().is_none());
        drop(third);
        let refusals = batch.refusals().now_or_never().unwrap();
        assert_eq!(refusals.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn a_batch_of_none_is_answered_at_once() {
        let batch = Arc::new(Batch::default());
        assert!(batch.refusals().now_or_never().unwrap().is_empty());
    }
}
