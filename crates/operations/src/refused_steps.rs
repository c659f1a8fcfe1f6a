//! Redrives the delivery steps that Kafka refused: they are due again at once.

use std::ops::ControlFlow;

use domain::OrderId;
use serde_json::{Value, json};
use store::{Database, shipments};

use crate::OperationError;
use crate::long_action::{LongAction, Monitor};

/// Maximum number of steps that one transaction redrives.
const BATCH: i64 = 500;

/// Which steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Only the step of this order.
    pub order: Option<OrderId>,
    /// Maximum number of steps, the oldest first.
    pub max: Option<i64>,
}

/// A [`Change`] that can run.
#[derive(Clone)]
pub struct StepsChange {
    change: Change,
    planned: i64,
    delivery: Database,
}

impl Change {
    /// Counts the steps that would be redriven, at most `most`.
    pub async fn plan(&self, delivery: &Database, most: i64) -> Result<i64, OperationError> {
        let connection = &mut *delivery.connection().await?;
        let eligible = shipments::count_refused(connection, self.order, most).await?;
        Ok(eligible)
    }

    /// The action that redrives at most `planned` steps: a step that Kafka refuses again meanwhile is not
    /// redriven without end.
    pub fn of(self, planned: i64, delivery: &Database) -> StepsChange {
        let planned = planned.min(self.max.unwrap_or(i64::MAX));
        StepsChange { change: self, planned, delivery: delivery.clone() }
    }
}

impl LongAction for StepsChange {
    fn record(&self) -> (&'static str, Value) {
        let Change { order, max } = &self.change;
        ("redrive shipments", json!({ "order": order.map(OrderId::as_uuid), "max": max }))
    }

    fn outcome(&self, done: u64) -> String {
        format!("{done} steps were redriven")
    }

    async fn act(&mut self, monitor: &Monitor) -> Result<ControlFlow<()>, OperationError> {
        let Self { change: Change { order, .. }, planned, delivery } = self;
        let mut done = 0;
        while done < *planned {
            if monitor.is_stopped() {
                return Ok(ControlFlow::Break(()));
            }
            // Returned after each batch: the reports of the progress need one, too.
            let connection = &mut *delivery.connection().await?;
            let count = shipments::redrive(connection, *order, BATCH.min(*planned - done)).await?;
            if count == 0 {
                break;
            }
            done += count;
            monitor.set_done(u64::try_from(done).unwrap_or_default());
        }
        Ok(ControlFlow::Continue(()))
    }
}
