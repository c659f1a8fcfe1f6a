//! The use case behind simulate-delivery: a step is reported as if delivery had reported it.
//!
//! The event has the id that delivery's own event of this step has. Whichever comes first is applied, the other is a
//! repeat.

use chrono::{SubsecRound, Utc};
use contracts::cloud_events::TraceContext;
use domain::{DeliveryStep, OrderId, OrderStatus, Owner, Progress};
use store::outbox::{self, Origin, OutboxEvent};
use store::{Database, StoreError, orders};

use crate::outbox_bell::OutboxBell;

/// Which step of which order.
pub(crate) struct Simulation {
    pub(crate) order_id: OrderId,
    pub(crate) step: DeliveryStep,
    /// Whose order it has to be; anybody's when `None`.
    pub(crate) owner: Option<Owner>,
    pub(crate) correlation_id: String,
    pub(crate) trace: Option<TraceContext>,
}

/// Why nothing is reported.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimulateError {
    #[error("there is no such order")]
    NoOrder,
    #[error("the order is {status}: it cannot be {} now", .step.as_str())]
    Forbidden { status: OrderStatus, step: DeliveryStep },
    #[error("the event cannot be encoded")]
    Encode(#[from] serde_json::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reports steps through the outbox.
pub(crate) struct SimulateDelivery {
    pub(crate) database: Database,
    /// Where delivery reports.
    pub(crate) topic: String,
    pub(crate) bell: OutboxBell,
}

impl SimulateDelivery {
    /// Reports the step, if it is the next one of the order. The order moves when the event comes back.
    pub(crate) async fn report(&self, simulation: Simulation) -> Result<(), SimulateError> {
        let Simulation { order_id, step, .. } = simulation;
        let mut connection = self.database.connection().await?;
        let status = orders::find_status(&mut connection, order_id, simulation.owner.as_ref())
            .await?
            .ok_or(SimulateError::NoOrder)?;
        let Progress::Advance(_) = status.progress(step) else {
            return Err(SimulateError::Forbidden { status, step });
        };
        outbox::enqueue(&mut connection, &[self.event(simulation)?]).await?;
        self.bell.ring([order_id]);
        Ok(())
    }

    fn event(&self, simulation: Simulation) -> Result<OutboxEvent, serde_json::Error> {
        let Simulation { order_id, step, correlation_id, trace, .. } = simulation;
        let correlation_id = Some(correlation_id);
        let origin = Origin { source: "/sales-api", topic: &self.topic, correlation_id, trace };
        OutboxEvent::of_step(order_id, step, Utc::now().trunc_subsecs(3), origin)
    }
}
