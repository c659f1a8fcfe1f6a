//! Simulates a step of a delivery: publishes its event as delivery-service does.
//!
//! The event has the same id as delivery-service's own event of the step. The event that arrives
//! first is applied; the other one is a duplicate.

use std::str::FromStr;

use auth::Caller;
use chrono::{SubsecRound, Utc};
use contracts::delivery_events::StepReported;
use domain::{DeliveryStep, OrderId, OrderStatus, Progress};
use serde_json::json;
use store::orders::{self, OrderWithHistory};
use store::{Connection, Database, outbox};

use crate::orders::Cause;
use crate::orders::audit::recorded;
use crate::orders::error::OrderError;
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
    fn include(self, caller: &Caller) -> bool {
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

/// Writes the events of simulated steps to the outbox.
pub(crate) struct SimulateDelivery {
    pub(crate) database: Database,
    /// The topic of delivery-service's events.
    pub(crate) topic: String,
    pub(crate) notifier: OutboxNotifier,
    pub(crate) allowed: Simulators,
}

/// The right of one caller to simulate deliveries.
pub(crate) struct AuthorizedCaller<'a> {
    simulate: &'a SimulateDelivery,
    caller: &'a Caller,
}

impl SimulateDelivery {
    /// Checks the permission of a caller. The handler does so before it parses the order id and the
    /// body.
    pub(crate) fn authorize<'a>(
        &'a self,
        caller: &'a Caller,
    ) -> Result<AuthorizedCaller<'a>, OrderError> {
        if self.allowed.include(caller) {
            Ok(AuthorizedCaller { simulate: self, caller })
        } else {
            Err(OrderError::MayNotSimulate)
        }
    }
}

impl AuthorizedCaller<'_> {
    /// Stores the event of the step, if it is the order's next one. status-consumer changes the
    /// status when it reads the event from Kafka.
    pub(crate) async fn report(
        &self,
        order_id: OrderId,
        step: DeliveryStep,
        cause: Cause,
    ) -> Result<(), OrderError> {
        let database = &self.simulate.database;
        let parameters = json!({ "orderId": order_id.as_uuid(), "step": step.as_str() });
        let store =
            async |connection: &mut Connection| self.store(connection, order_id, step, cause).await;
        recorded(
            database,
            self.caller,
            "simulate delivery",
            &parameters,
            store,
            |()| "event stored",
        )
        .await
    }

    async fn store(
        &self,
        connection: &mut Connection,
        order_id: OrderId,
        step: DeliveryStep,
        cause: Cause,
    ) -> Result<(), OrderError> {
        let SimulateDelivery { topic, notifier, .. } = self.simulate;
        let found = orders::find(connection, order_id, self.caller.owner_filter()).await?;
        let OrderWithHistory { order, cancellation, .. } = found.ok_or(OrderError::NoOrder)?;
        let status = order.status;
        let Progress::Advance(_) = status.progress(step) else {
            return Err(OrderError::StatusConflict { status, step });
        };
        // delivery-service may report that the order is cancelled.
        if status == OrderStatus::PendingShipment && cancellation.is_some() {
            return Err(OrderError::CancellationPending);
        }
        let at = Utc::now().trunc_subsecs(3);
        let event = StepReported { order_id, step, at }.message(cause.origin(topic));
        outbox::enqueue(connection, &[event]).await?;
        notifier.notify([order_id]);
        Ok(())
    }
}
