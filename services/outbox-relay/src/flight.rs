//! The events that a lane has gone on without, and their orders.

use std::collections::HashSet;

use messaging::{Answers, Flight, Flights};
use store::outbox::{HeldShard, OutboxRow};
use tokio::time::Instant;
use uuid::Uuid;

/// What a lane has to know when the answers come: the leases that it held when it sent the events, and when that was.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) held: Vec<HeldShard>,
    pub(crate) at: Instant,
}

/// The flights of a lane.
#[derive(Debug, Default)]
pub(crate) struct OrdersInFlight {
    flights: Flights<OutboxRow, Sending>,
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

    /// Nothing else of these orders may be sent before their events are answered.
    pub(crate) fn orders(&self) -> Vec<Uuid> {
        self.orders.iter().copied().collect()
    }

    pub(crate) fn add(&mut self, flight: Flight<OutboxRow, Sending>) {
        self.orders.extend(flight.events.waiting().map(order));
        self.flights.add(flight);
    }

    /// The next answers, with what is left of their flight; `None` where nothing is on its way.
    pub(crate) async fn next(
        &mut self,
    ) -> Option<(Flight<OutboxRow, Sending>, Answers<OutboxRow>)> {
        let landed = self.flights.next().await?;
        self.forget(&landed);
        Some(landed)
    }

    /// The next answers, if they have come already.
    pub(crate) fn next_now(&mut self) -> Option<(Flight<OutboxRow, Sending>, Answers<OutboxRow>)> {
        let landed = self.flights.next_now()?;
        self.forget(&landed);
        Some(landed)
    }

    fn forget(&mut self, (flight, answers): &(Flight<OutboxRow, Sending>, Answers<OutboxRow>)) {
        let settled = answers.settled.iter().map(|(row, _)| row);
        let suspects = answers.suspects.iter().map(|(row, _)| row);
        for row in flight.events.waiting().chain(settled).chain(suspects) {
            self.orders.remove(&order(row));
        }
    }
}

fn order(row: &OutboxRow) -> Uuid {
    row.event.aggregate_id.as_uuid()
}
