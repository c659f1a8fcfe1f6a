//! Batches in flight that their sender no longer waits for.
//!
//! A partition without a leader returns no delivery report until the publish timeout. A sender that
//! waited for the slowest report would publish nothing meanwhile. So a sender waits while reports
//! arrive, for at most [`REPORT_WAIT`] each, and continues without the rest.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use crate::{DeliveryReports, InFlight};

/// How long a sender waits for the next delivery report of a batch before it continues without the
/// others. A healthy broker responds much sooner.
pub const REPORT_WAIT: Duration = Duration::from_millis(50);

/// Maximum number of events that a sender has in flight besides its current batch.
const MAX_EVENTS: usize = 4_096;
/// Maximum size of their values, in bytes.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Events that were sent together, with the context that their sender needs when the delivery
/// reports arrive.
#[derive(Debug)]
pub struct InFlightBatch<T, C> {
    /// The events without a delivery report.
    pub events: InFlight<T>,
    /// The context that they share.
    pub context: C,
}

/// The batches that a sender no longer waits for.
#[derive(Debug)]
pub struct InFlightBatches<T, C> {
    reports: FuturesUnordered<BoxFuture<'static, BatchReports<T, C>>>,
    events: usize,
    bytes: usize,
}

/// Delivery reports, and the rest of their batch.
struct BatchReports<T, C> {
    batch: InFlightBatch<T, C>,
    reports: DeliveryReports<T>,
    events: usize,
    bytes: usize,
}

impl<T, C> Default for InFlightBatches<T, C> {
    fn default() -> Self {
        Self { reports: FuturesUnordered::new(), events: 0, bytes: 0 }
    }
}

impl<T: Send + Sync + 'static, C: Send + 'static> InFlightBatches<T, C> {
    /// Whether no batch is in flight.
    pub fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    /// Whether another batch fits within the limits.
    pub fn have_room(&self) -> bool {
        self.events < MAX_EVENTS && self.bytes < MAX_BYTES
    }

    /// Adds the rest of a batch.
    pub fn add(&mut self, mut batch: InFlightBatch<T, C>) {
        let (events, bytes) = (batch.events.waiting().count(), batch.events.bytes());
        self.events += events;
        self.bytes += bytes;
        let reports = async move {
            let reports = batch.events.reports(REPORT_WAIT).await;
            BatchReports { batch, reports, events, bytes }
        };
        self.reports.push(reports.boxed());
    }

    /// The next delivery reports, with the rest of their batch. `None` if no batch is in flight.
    pub async fn next(&mut self) -> Option<(InFlightBatch<T, C>, DeliveryReports<T>)> {
        let BatchReports { batch, reports, events, bytes } = self.reports.next().await?;
        self.events -= events;
        self.bytes -= bytes;
        Some((batch, reports))
    }

    /// The next delivery reports, if they have already arrived.
    pub fn next_now(&mut self) -> Option<(InFlightBatch<T, C>, DeliveryReports<T>)> {
        self.next().now_or_never().flatten()
    }
}
