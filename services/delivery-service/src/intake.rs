//! Turns new orders into shipments, and stores requests to cancel an order.

use contracts::envelope::{Envelope, Event};
use contracts::order_events::{CancellationRequested, OrderEvent};
use messaging::consumer::{Handler, HandlerError};
use publishing::Wakes;
use store::shipments::{self, CancellationRequest, NewShipment, TakenIn};
use store::{Database, StoreError};

use crate::delays::Delays;

/// Creates a shipment for each new order. An order that already has one keeps it.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) database: Database,
    pub(crate) delays: Delays,
    /// Wakes the dispatcher, which may be waiting for a later step.
    pub(crate) wakes: Wakes,
}

impl Handler for Intake {
    type Event = OrderEvent;

    async fn handle(&self, batch: &[Envelope<OrderEvent>]) -> Result<(), HandlerError> {
        let (mut shipments, mut requests) = (Vec::new(), Vec::new());
        for envelope in batch {
            match &envelope.event {
                OrderEvent::Created(_) => shipments.push(self.shipment(envelope)),
                OrderEvent::CancellationRequested(request) => {
                    requests.push(self.request(envelope, request));
                }
            }
        }
        let new = self.take_in(&shipments, &requests).await.map_err(|error| match error {
            error if error.is_transient() => HandlerError::Transient(error.into()),
            error => HandlerError::Permanent { class: "not-storable", source: error.into() },
        })?;
        metrics::counter!("delivery_shipments_total").increment(new.shipments as u64);
        let duplicates = batch.len() - new.shipments - new.requests;
        metrics::counter!("delivery_duplicates_total").increment(duplicates as u64);
        self.wakes.notify_all();
        Ok(())
    }
}

impl Intake {
    fn shipment(&self, envelope: &Envelope<OrderEvent>) -> NewShipment {
        NewShipment {
            order_id: envelope.event.order_id(),
            delay: self.delays.draw(),
            correlation_id: envelope.attributes.correlation_id.clone(),
            trace: envelope.attributes.trace.clone(),
        }
    }

    fn request(
        &self,
        envelope: &Envelope<OrderEvent>,
        request: &CancellationRequested,
    ) -> CancellationRequest {
        CancellationRequest {
            order_id: request.order_id,
            requested_at: request.requested_at,
            delay: self.delays.draw(),
            correlation_id: envelope.attributes.correlation_id.clone(),
            trace: envelope.attributes.trace.clone(),
        }
    }

    async fn take_in(
        &self,
        shipments: &[NewShipment],
        requests: &[CancellationRequest],
    ) -> Result<TakenIn, StoreError> {
        let mut connection = self.database.connection().await?;
        shipments::take_in(&mut connection, shipments, requests).await
    }
}
