//! A repair as one action that also finds the missing events, or only finds them.

use std::ops::ControlFlow;

use serde_json::Value;

use super::{Plan, Repair, plan};
use crate::OperationError;
use crate::long_action::{LongAction, Monitor};
use crate::verify::Progress;

/// Finds the missing events, and publishes at most a confirmed number of them.
pub struct PlannedRepair {
    /// Its plan is that of this action.
    repair: Repair,
    /// The selection, for the record.
    parameters: Value,
    /// Its bars are those of the monitor.
    progress: Progress,
    /// The confirmed number of events. `None` only counts them.
    confirmed: Option<usize>,
    result: Option<Value>,
}

impl PlannedRepair {
    /// A repair that has not begun.
    pub fn new(
        repair: Repair,
        parameters: Value,
        progress: Progress,
        confirmed: Option<usize>,
    ) -> Self {
        Self { repair, parameters, progress, confirmed, result: None }
    }
}

impl LongAction for PlannedRepair {
    fn record(&self) -> (&'static str, Value) {
        let mut parameters = self.parameters.clone();
        match self.confirmed {
            None => ("plan repair", parameters),
            Some(confirmed) => {
                parameters["max"] = confirmed.into();
                ("repair", parameters)
            }
        }
    }

    fn target(&self) -> Option<String> {
        self.repair.target()
    }

    fn outcome(&self, done: u64) -> String {
        match self.confirmed {
            Some(_) => self.repair.outcome(done),
            None => format!("{} events would be published again", self.repair.plan.events.len()),
        }
    }

    fn result(&self) -> Option<Value> {
        self.result.clone()
    }

    async fn act(&mut self, monitor: &Monitor) -> Result<ControlFlow<()>, OperationError> {
        let found = plan(&self.repair.sources, &self.progress);
        let Some(found) = monitor.unless_stopped(found).await else {
            return Ok(ControlFlow::Break(()));
        };
        self.repair.plan = found?;
        self.result = Some(self.repair.plan.json());
        let Some(confirmed) = self.confirmed else { return Ok(ControlFlow::Continue(())) };
        self.repair.plan.events.truncate(confirmed);
        self.repair.act(monitor).await
    }
}

impl Plan {
    /// The plan as data: the events by type, and the orders that are left.
    pub fn json(&self) -> Value {
        let missing =
            self.counts().map(|(name, count)| serde_json::json!({ "type": name, "count": count }));
        serde_json::json!({
            "missing": missing.collect::<Vec<_>>(),
            // Orders that delivery-service would ship again, or cancel although they were shipped.
            "left": self.left.count,
            "leftCases": self.left.listed,
            "deadLettered": self.dead_lettered,
        })
    }
}
