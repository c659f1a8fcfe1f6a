//! The use case behind simulate-delivery: publishes the event of a step as delivery-service does.
//!
//! The event has the same id as delivery-service's own event of the step. The event that arrives
//! first is applied; the other one is a duplicate.

use std::str::FromStr;

use chrono::{SubsecRound, Utc};
use contracts::cloud_events::TraceContext;
use contracts::delivery_events::DeliveryEvent;
use contracts::message::{EventMessage, Origin};
use domain::{DeliveryStep, OrderId, OrderStatus, Owner, Progress};
use store::{Database, StoreError, orders, outbox};

use crate::auth::Caller;
use crate::orders::outbox_notifier::OutboxNotifier;

/// Who may simulate a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simulators {
    /// The order's owner and operators.
    Owner,
    /// Operators.
    Operator,
    /// No caller.
    Disabled,
}

impl Simulators {
    pub(crate) fn include(self, caller: &Caller) -> bool {
        match self {
            Self::Owner => true,
            Self::Operator => caller.is_operator(),
            Self::Disabled => false,
        }
    }
}

impl FromStr for Simulators {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "owner" => Ok(Self::Owner),
            "operator" => Ok(Self::Operator),
            "nobody" => Ok(Self::Disabled),
            _ => Err("must be owner, operator or nobody"),
        }
    }
}

/// The step and the order.
pub(crate) struct Simulation {
    pub(crate) order_id: OrderId,
    pub(crate) step: DeliveryStep,
    /// The required owner of the order; any owner if `None`.
    pub(crate) owner: Option<Owner>,
    pub(crate) correlation_id: String,
    pub(crate) trace: Option<TraceContext>,
}

/// Why a step was not simulated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimulateError {
    #[error("no such order")]
    NoOrder,
    #[error("the order is {status}: it cannot be {} now", .step.as_str())]
    Forbidden { status: OrderStatus, step: DeliveryStep },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes the events of simulated steps to the outbox.
pub(crate) struct SimulateDelivery {
    pub(crate) database: Database,
    /// The topic of delivery-service's events.
    pub(crate) topic: String,
    pub(crate) notifier: OutboxNotifier,
}

impl SimulateDelivery {
    /// Stores the event of the step, if it is the order's next one. status-consumer changes the
    /// status when it reads the event from Kafka.
    pub(crate) async fn report(&self, simulation: Simulation) -> Result<(), SimulateError> {
        let Simulation { order_id, step, .. } = simulation;
        let mut connection = self.database.connection().await?;
        let status = orders::find_status(&mut connection, order_id, simulation.owner.as_ref())
            .await?
            .ok_or(SimulateError::NoOrder)?;
        let Progress::Advance(_) = status.progress(step) else {
            return Err(SimulateError::Forbidden { status, step });
        };
        outbox::enqueue(&mut connection, &[self.event(simulation)]).await?;
        self.notifier.notify([order_id]);
        Ok(())
    }

    fn event(&self, simulation: Simulation) -> EventMessage {
        let Simulation { order_id, step, correlation_id, trace, .. } = simulation;
        let correlation_id = Some(correlation_id);
        let origin = Origin { source: "/sales-api", topic: &self.topic, correlation_id, trace };
        let at = Utc::now().trunc_subsecs(3);
        DeliveryEvent { order_id, step, at }.message(origin)
    }
}
