//! Turns new orders into shipments.

use contracts::envelope::Envelope;
use contracts::order_events::OrderEvent;
use messaging::consumer::{Handler, HandlerError};
use publishing::Wakes;
use store::shipments::{self, NewShipment};
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
        let shipments: Vec<NewShipment> =
            batch.iter().map(|envelope| self.shipment(envelope)).collect();
        let new = self.insert(&shipments).await.map_err(|error| match error {
            error if error.is_transient() => HandlerError::Transient(error.into()),
            error => HandlerError::Permanent { class: "not-storable", source: error.into() },
        })?;
        metrics::counter!("delivery_shipments_total").increment(new as u64);
        metrics::counter!("delivery_duplicates_total").increment((shipments.len() - new) as u64);
        self.wakes.notify_all();
        Ok(())
    }
}

impl Intake {
    fn shipment(&self, envelope: &Envelope<OrderEvent>) -> NewShipment {
        let OrderEvent::Created(order) = &envelope.event;
        NewShipment {
            order_id: order.order_id,
            delay: self.delays.draw(),
            correlation_id: envelope.attributes.correlation_id.clone(),
            trace: envelope.attributes.trace.clone(),
        }
    }

    async fn insert(&self, shipments: &[NewShipment]) -> Result<usize, StoreError> {
        let mut connection = self.database.connection().await?;
        shipments::insert(&mut connection, shipments).await
    }
}
