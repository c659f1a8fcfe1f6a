//! A check as a recorded action, which keeps its report.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::Value;

use super::report::Report;
use super::run::{Progress, Sources};
use crate::OperationError;
use crate::long_action::{LongAction, Monitor};

/// A check that runs as an action.
pub struct Verification {
    /// What is checked.
    pub sources: Sources,
    /// The selection, for the record.
    pub parameters: Value,
    /// Time without a change after which a pending order is a warning.
    pub stuck_after: Duration,
    /// Its bars are those of the monitor.
    pub progress: Progress,
    report: Option<Report>,
}

impl Verification {
    /// A check that has not run yet.
    pub fn new(
        sources: Sources,
        parameters: Value,
        stuck_after: Duration,
        progress: Progress,
    ) -> Self {
        Self { sources, parameters, stuck_after, progress, report: None }
    }
}

impl LongAction for Verification {
    fn record(&self) -> (&'static str, Value) {
        ("verify", self.parameters.clone())
    }

    /// A check takes memory, and reads all topics.
    fn target(&self) -> Option<String> {
        Some("verify".to_owned())
    }

    fn outcome(&self, _: u64) -> String {
        match self.report.as_ref().map(Report::violations) {
            None => "nothing was found out".to_owned(),
            Some(0) => "no invariant is violated".to_owned(),
            Some(count) => format!("{count} violations"),
        }
    }

    fn result(&self) -> Option<Value> {
        self.report.as_ref().map(Report::json)
    }

    async fn act(&mut self, monitor: &Monitor) -> Result<ControlFlow<()>, OperationError> {
        let check = self.sources.verify(self.stuck_after, false, &self.progress);
        match monitor.unless_stopped(check).await {
            None => Ok(ControlFlow::Break(())),
            Some(report) => {
                self.report = Some(report?);
                Ok(ControlFlow::Continue(()))
            }
        }
    }
}
