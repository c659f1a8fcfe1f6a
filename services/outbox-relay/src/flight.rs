//! The events of a lane that are in flight while it continues, and their orders.

use std::collections::HashSet;

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

/// The batches of a lane that are in flight.
#[derive(Debug, Default)]
pub(crate) struct OrdersInFlight {
    flights: InFlightBatches<OutboxRow, SendContext>,
    orders: HashSet<Uuid>,
}

impl OrdersInFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    /// Whether there is room for another batch.
    pub(crate) fn have_room(&self) -> bool {
        self.flights.have_room()
    }

    /// The orders with events in flight. No other event of them may be sent before the response.
    pub(crate) fn orders(&self) -> Vec<Uuid> {
        self.orders.iter().copied().collect()
    }

    pub(crate) fn add(&mut self, flight: InFlightBatch<OutboxRow, SendContext>) {
        self.orders.extend(flight.events.waiting().map(order));
        self.flights.add(flight);
    }

    /// The next responses, with the rest of their batch; `None` if nothing is in flight.
    pub(crate) async fn next(
        &mut self,
    ) -> Option<(InFlightBatch<OutboxRow, SendContext>, DeliveryReports<OutboxRow>)> {
        let landed = self.flights.next().await?;
        self.forget(&landed);
        Some(landed)
    }

    /// The next responses, if they have already arrived.
    pub(crate) fn next_now(
        &mut self,
    ) -> Option<(InFlightBatch<OutboxRow, SendContext>, DeliveryReports<OutboxRow>)> {
        let landed = self.flights.next_now()?;
        self.forget(&landed);
        Some(landed)
    }

    fn forget(
        &mut self,
        (flight, answers): &(InFlightBatch<OutboxRow, SendContext>, DeliveryReports<OutboxRow>),
    ) {
        let settled = answers.settled.iter().map(|(row, _)| row);
        let to_resend = answers.to_resend.iter().map(|(row, _)| row);
        for row in flight.events.waiting().chain(settled).chain(to_resend) {
            self.orders.remove(&order(row));
        }
    }
}

fn order(row: &OutboxRow) -> Uuid {
    row.event.aggregate_id.as_uuid()
}
