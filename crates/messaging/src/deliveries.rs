//! The answers of the broker, collected batch by batch.
//!
//! A future for each record costs more than the record itself. So each record carries a ticket of its batch, and who
//! waits is woken by the last one.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::context::QuietContext;

/// What the broker answered to a record, by the record's place in its batch.
pub(crate) type Answer = (usize, Result<(), KafkaError>);

/// Records that were sent together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    unanswered: AtomicUsize,
    answers: Mutex<Vec<Answer>>,
    /// Whether each answer wakes the one who waits, and not only the last.
    wake_for_each: AtomicBool,
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

    /// Waits until every ticket is back.
    pub(crate) async fn all(&self) {
        // The batch has no more tickets to give: the count can only fall.
        while self.unanswered.load(Ordering::Acquire) > 0 {
            self.answered.notified().await;
        }
    }

    /// Waits until every ticket is back, as long as some come back within each `patience`.
    pub(crate) async fn all_in_time(&self, patience: Duration) {
        let mut answered = 0;
        while timeout(patience, self.all()).await.is_err() {
            let now = self.lock().len();
            if now == answered {
                return;
            }
            answered = now;
        }
    }

    /// Waits until there is something to take, or every ticket is back.
    pub(crate) async fn any(&self) {
        self.wake_for_each.store(true, Ordering::SeqCst);
        while self.lock().is_empty() && self.unanswered.load(Ordering::Acquire) > 0 {
            self.answered.notified().await;
        }
        self.wake_for_each.store(false, Ordering::SeqCst);
    }

    /// The answers since the last call.
    pub(crate) fn take(&self) -> Vec<Answer> {
        mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The record was never sent, and its sender knows why.
    pub(crate) fn withdraw(mut self) {
        self.settled = true;
    }

    fn settle(mut self, answer: Result<(), KafkaError>) {
        self.batch.lock().push((self.place, answer));
        self.settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // There was no answer: the producer let the record go.
        if !self.settled {
            self.batch.lock().push((self.place, Err(KafkaError::Canceled)));
        }
        let last = self.batch.unanswered.fetch_sub(1, Ordering::AcqRel) == 1;
        if last || self.batch.wake_for_each.load(Ordering::SeqCst) {
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

    fn places(answers: &[Answer]) -> Vec<(usize, bool)> {
        answers.iter().map(|(place, answer)| (*place, answer.is_ok())).collect()
    }

    #[test]
    fn a_batch_is_answered_when_its_last_ticket_is_back() {
        let batch = Arc::new(Batch::default());
        let (first, second, third) = (batch.ticket(0), batch.ticket(1), batch.ticket(2));
        first.settle(Ok(()));
        second.settle(Err(KafkaError::Canceled));
        assert!(batch.all().now_or_never().is_none());
        drop(third);
        assert!(batch.all().now_or_never().is_some());
        assert_eq!(places(&batch.take()), [(0, true), (1, false), (2, false)]);
    }

    #[test]
    fn an_answer_can_be_taken_before_the_others_have_come() {
        let batch = Arc::new(Batch::default());
        let (first, second) = (batch.ticket(0), batch.ticket(1));
        let mut any = Box::pin(batch.any());
        assert!(any.as_mut().now_or_never().is_none());
        first.settle(Ok(()));
        assert!(any.now_or_never().is_some());
        assert_eq!(places(&batch.take()), [(0, true)]);
        second.settle(Ok(()));
        assert!(batch.all().now_or_never().is_some());
        assert_eq!(places(&batch.take()), [(1, true)]);
    }

    #[test]
    fn a_batch_of_none_is_answered_at_once() {
        let batch = Arc::new(Batch::default());
        assert!(batch.all().now_or_never().is_some() && batch.any().now_or_never().is_some());
        assert!(batch.take().is_empty());
    }

    #[test]
    fn a_ticket_that_is_withdrawn_leaves_no_answer() {
        let batch = Arc::new(Batch::default());
        batch.ticket(0).withdraw();
        assert!(batch.all().now_or_never().is_some());
        assert!(batch.take().is_empty());
    }
}
