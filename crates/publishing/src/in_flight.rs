//! The events of a lane that are in flight while it continues, and their orders.

use std::collections::HashSet;

use futures::FutureExt;
use messaging::{DeliveryReports, InFlightBatch, InFlightBatches};
use store::shards::HeldShard;
use tokio::time::Instant;
use uuid::Uuid;

use crate::Queue;

/// What a lane needs to settle responses: the leases under which it sent the events, and the time.
#[derive(Clone, Debug)]
pub(crate) struct SendContext {
    pub(crate) held: Vec<HeldShard>,
    pub(crate) at: Instant,
}

pub(crate) type Batch<Q> = InFlightBatch<<Q as Queue>::Row, SendContext>;
pub(crate) type Reports<Q> = DeliveryReports<<Q as Queue>::Row>;

/// The batches of a lane that are in flight.
#[derive(Debug)]
pub(crate) struct OrdersInFlight<Q: Queue> {
    batches: InFlightBatches<Q::Row, SendContext>,
    orders: HashSet<Uuid>,
}

impl<Q: Queue> Default for OrdersInFlight<Q> {
    fn default() -> Self {
        Self { batches: InFlightBatches::default(), orders: HashSet::new() }
    }
}

impl<Q: Queue> OrdersInFlight<Q> {
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

    pub(crate) fn add(&mut self, batch: Batch<Q>) {
        self.orders.extend(batch.events.waiting().map(Q::order));
        self.batches.add(batch);
    }

    /// The next responses, with the rest of their batch; `None` if nothing is in flight.
    pub(crate) async fn next(&mut self) -> Option<(Batch<Q>, Reports<Q>)> {
        let (batch, reports) = self.batches.next().await?;
        let settled = reports.settled.iter().map(|(row, _)| row);
        let to_resend = reports.to_resend.iter().map(|(row, _)| row);
        for row in batch.events.waiting().chain(settled).chain(to_resend) {
            self.orders.remove(&Q::order(row));
        }
        Some((batch, reports))
    }

    /// The next responses, if they have already arrived.
    pub(crate) fn next_now(&mut self) -> Option<(Batch<Q>, Reports<Q>)> {
        self.next().now_or_never().flatten()
    }
}
