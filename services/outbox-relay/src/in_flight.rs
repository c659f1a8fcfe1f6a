//! The events of a lane that are in flight while it continues, and their orders.

use std::collections::HashSet;

use futures::FutureExt;
use messaging::{DeliveryReports, InFlightBatch, InFlightBatches};
use store::outbox::{HeldShard, OutboxRow};
use tokio::time::Instant;
use uuid::Uuid;

/// What a lane needs to settle responses: the leases under which it sent the events, and the time.
#[derive(Clone, Debug)]
pub(crate) struct SendContext {
    pub(crate) held: Vec<HeldShard>,
    pub(crate) at: Instant,
}

type Batch = InFlightBatch<OutboxRow, SendContext>;
type Reported = (Batch, DeliveryReports<OutboxRow>);

/// The batches of a lane that are in flight.
#[derive(Debug, Default)]
pub(crate) struct OrdersInFlight {
    batches: InFlightBatches<OutboxRow, SendContext>,
    orders: HashSet<Uuid>,
}

impl OrdersInFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether there is room for another batch.
    pub(crate) fn have_room(&self) -> bool {
        self.batches.have_room()
    }

    /// The orders with events in flight. No other event of them may be sent before the response.
    pub(crate) fn orders(&self) -> Vec<Uuid> {
        self.orders.iter().copied().collect()
    }

    pub(crate) fn add(&mut self, batch: Batch) {
        self.orders.extend(batch.events.waiting().map(order));
        self.batches.add(batch);
    }

    /// The next responses, with the rest of their batch; `None` if nothing is in flight.
    pub(crate) async fn next(&mut self) -> Option<Reported> {
        let (batch, reports) = self.batches.next().await?;
        let settled = reports.settled.iter().map(|(row, _)| row);
        let to_resend = reports.to_resend.iter().map(|(row, _)| row);
        for row in batch.events.waiting().chain(settled).chain(to_resend) {
            self.orders.remove(&order(row));
        }
        Some((batch, reports))
    }

    /// The next responses, if they have already arrived.
    pub(crate) fn next_now(&mut self) -> Option<Reported> {
        self.next().now_or_never().flatten()
    }
}

fn order(row: &OutboxRow) -> Uuid {
    row.event.attributes.subject
}
