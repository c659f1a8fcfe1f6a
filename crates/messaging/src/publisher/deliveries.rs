//! Delivery reports, collected per batch.
//!
//! A future for each record costs more than the record itself. So each record carries a ticket of
//! its batch, and the last ticket wakes the task that waits.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::client::context::QuietContext;

/// The delivery report of a record, with the record's index in its batch.
pub(crate) type Report = (usize, Result<(), KafkaError>);

/// Records that were sent together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pending: AtomicUsize,
    reports: Mutex<Vec<Report>>,
    /// Whether each report wakes the task that waits, and not only the last.
    wake_for_each: AtomicBool,
    reported: Notify,
}

/// A record's reference to its batch, passed to the client as delivery opaque. After it is dropped,
/// the record gets no delivery report any more.
#[derive(Debug)]
pub(crate) struct Ticket {
    batch: Arc<Batch>,
    place: usize,
    settled: bool,
}

impl Batch {
    /// The ticket of the record with index `place`.
    pub(crate) fn ticket(self: &Arc<Self>, place: usize) -> Ticket {
        self.pending.fetch_add(1, Ordering::Relaxed);
        Ticket { batch: self.clone(), place, settled: false }
    }

    /// Waits until every ticket is dropped.
    pub(crate) async fn all(&self) {
        // All tickets have been created, so the count can only fall.
        while self.pending.load(Ordering::Acquire) > 0 {
            self.reported.notified().await;
        }
    }

    /// Waits until every ticket is dropped, or no report arrives for `idle_timeout`.
    pub(crate) async fn all_or_idle(&self, idle_timeout: Duration) {
        let mut reported = 0;
        while timeout(idle_timeout, self.all()).await.is_err() {
            let now = self.lock().len();
            if now == reported {
                return;
            }
            reported = now;
        }
    }

    /// Waits until there is a report to take, or every ticket is dropped.
    pub(crate) async fn any(&self) {
        self.wake_for_each.store(true, Ordering::SeqCst);
        while self.lock().is_empty() && self.pending.load(Ordering::Acquire) > 0 {
            self.reported.notified().await;
        }
        self.wake_for_each.store(false, Ordering::SeqCst);
    }

    /// The reports since the last call.
    pub(crate) fn take(&self) -> Vec<Report> {
        mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The client refused to send the record and has returned the error, so there is no report.
    pub(crate) fn withdraw(mut self) {
        self.settled = true;
    }

    fn settle(mut self, report: Result<(), KafkaError>) {
        self.batch.lock().push((self.place, report));
        self.settled = true;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // No delivery report: the producer dropped the record.
        if !self.settled {
            self.batch.lock().push((self.place, Err(KafkaError::Canceled)));
        }
        let last = self.batch.pending.fetch_sub(1, Ordering::AcqRel) == 1;
        if last || self.batch.wake_for_each.load(Ordering::SeqCst) {
            self.batch.reported.notify_one();
        }
    }
}

/// Adds each delivery report to the batch of its record.
impl ProducerContext for QuietContext {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, report: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        ticket.settle(report.as_ref().map(|_| ()).map_err(|(error, _)| error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn places(reports: &[Report]) -> Vec<(usize, bool)> {
        reports.iter().map(|(place, report)| (*place, report.is_ok())).collect()
    }

    #[test]
    fn a_batch_completes_with_its_last_delivery_report() {
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
    fn a_delivery_report_can_be_read_before_its_batch_completes() {
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
    fn an_empty_batch_is_complete() {
        let batch = Arc::new(Batch::default());
        assert!(batch.all().now_or_never().is_some() && batch.any().now_or_never().is_some());
        assert!(batch.take().is_empty());
    }

    #[test]
    fn a_record_that_the_client_refused_gets_no_delivery_report() {
        let batch = Arc::new(Batch::default());
        batch.ticket(0).withdraw();
        assert!(batch.all().now_or_never().is_some());
        assert!(batch.take().is_empty());
    }
}
