//! Actions that change a part of the system, one batch after the other.
//!
//! Every second a running action reports to the database that it runs and how far it is, so that all
//! front ends show it, and reads whether an operator has asked to stop it. Of the actions with the same
//! target, one at a time runs: also if they were started by different programs. An action that could
//! not report for eight seconds stops, because after ten another one may begin.

use std::future::Future;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::Owner;
use indicatif::ProgressBar;
use serde_json::Value;
use service_kit::Chain;
use store::operator_actions::{self, Began, NewAction, Start};
use store::{Database, StoreError};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::OperationError;

/// Interval of the reports.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Time without a report after which an action stops. Shorter than the time after which the database
/// counts it as interrupted.
const MAX_SILENCE: Duration = Duration::from_secs(8);

/// An action that an operator starts.
pub trait LongAction: Send + Sync {
    /// Its name and its parameters, for the record.
    fn record(&self) -> (&'static str, Value);

    /// What it changes, if only one action at a time may do so.
    fn target(&self) -> Option<String> {
        None
    }

    /// Acts until all is done, or, with [`ControlFlow::Break`], until it is stopped. What was done
    /// remains done, and the same action continues it.
    fn act(
        &mut self,
        monitor: &Monitor,
    ) -> impl Future<Output = Result<ControlFlow<()>, OperationError>> + Send;

    /// What was done, such as `3 events were redriven`.
    fn outcome(&self, done: u64) -> String;

    /// The result that the record keeps.
    fn result(&self) -> Option<Value> {
        None
    }
}

/// The progress of an action, and the request to stop it.
#[derive(Clone, Debug)]
pub struct Monitor {
    bars: Vec<ProgressBar>,
    stop: CancellationToken,
    stopped_by: Arc<OnceLock<String>>,
}

impl Monitor {
    /// The progress is the sum of these bars. The action stops when `stop` is cancelled, or when an
    /// operator asks for it.
    pub fn new(bars: Vec<ProgressBar>, stop: &CancellationToken) -> Self {
        Self { bars, stop: stop.child_token(), stopped_by: Arc::default() }
    }

    /// Only an operator can stop the action, in the console.
    pub fn of_bar(bar: ProgressBar) -> Self {
        Self::new(vec![bar], &CancellationToken::new())
    }

    /// Sets how much is done.
    pub fn set_done(&self, done: u64) {
        if let [bar, ..] = self.bars.as_slice() {
            bar.set_position(done);
        }
    }

    /// How much is done.
    pub fn done(&self) -> u64 {
        self.bars.iter().map(ProgressBar::position).sum()
    }

    /// Whether the action has to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Runs this until it ends or the action has to stop.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.stop.run_until_cancelled(work).await
    }

    /// What is done, of how much.
    fn progress(&self) -> (i64, i64) {
        let sum = |value: fn(&ProgressBar) -> u64| {
            i64::try_from(self.bars.iter().map(value).sum::<u64>()).unwrap_or(i64::MAX)
        };
        (sum(ProgressBar::position), sum(|bar| bar.length().unwrap_or_default()))
    }

    fn stop_for(&self, operator: String) {
        let _ = self.stopped_by.set(operator);
        self.stop.cancel();
    }
}

/// Who starts an action.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The operator; the role of the database connection if there is none.
    pub operator: Option<Owner>,
    /// The id of the request. The same request starts one action.
    pub request: Option<Uuid>,
}

/// The result of a [`begin`].
pub enum Begun {
    /// The action was recorded, and has to run now.
    Now(RecordedAction),
    /// The same request began the action with this id before.
    Before(i64),
}

/// An action that was recorded.
pub struct RecordedAction {
    database: Database,
    id: i64,
}

/// Records that an action begins. `database` has the schema `sales`. Returns
/// [`OperationError::Busy`] if another one with the same target is running; this takes a second, or
/// ten if the other one was interrupted lately.
pub async fn begin(
    database: &Database,
    caller: &Caller,
    action: &impl LongAction,
) -> Result<Begun, OperationError> {
    let ((name, parameters), target) = (action.record(), action.target());
    let parameters = &parameters.to_string();
    let new = NewAction { subject: caller.operator.as_ref(), action: name, parameters };
    let start = Start { new, request: caller.request, target: target.as_deref() };
    let mut before = None;
    loop {
        match operator_actions::begin(&mut *database.connection().await?, &start).await? {
            Began::Now(id) => {
                return Ok(Begun::Now(RecordedAction { database: database.clone(), id }));
            }
            Began::Before(id) => return Ok(Begun::Before(id)),
            // An interrupted action reports no more.
            Began::Busy(running) => {
                let reported = Some((running.id, running.reported_at));
                if before.is_some() && before != reported {
                    return Err(OperationError::Busy(running));
                }
                before = reported;
                sleep(REPORT_INTERVAL).await;
            }
        }
    }
}

/// Records and runs an action. Returns whether it was stopped.
pub async fn perform(
    database: &Database,
    operator: Option<Owner>,
    action: &mut impl LongAction,
    monitor: &Monitor,
) -> Result<ControlFlow<()>, OperationError> {
    match begin(database, &Caller { operator, request: None }, action).await? {
        Begun::Now(recorded) => recorded.run(action, monitor).await,
        Begun::Before(_) => Ok(ControlFlow::Continue(())),
    }
}

impl RecordedAction {
    /// The id in the record.
    pub const fn id(&self) -> i64 {
        self.id
    }

    /// Runs the action, and records its outcome. Returns whether it was stopped.
    pub async fn run(
        self,
        action: &mut impl LongAction,
        monitor: &Monitor,
    ) -> Result<ControlFlow<()>, OperationError> {
        let result = tokio::select! {
            result = action.act(monitor) => result,
            never = self.report(monitor) => match never {},
        };
        let done = action.outcome(monitor.done());
        let outcome = match (&result, monitor.stopped_by.get()) {
            (Ok(ControlFlow::Continue(())), _) => done,
            (Ok(ControlFlow::Break(())), Some(operator)) => {
                format!("stopped by {operator}: {done}")
            }
            (Ok(ControlFlow::Break(())), None) => format!("stopped: {done}"),
            (Err(error), _) if monitor.done() == 0 => format!("failed: {}", Chain(error)),
            (Err(error), _) => format!("failed after {done}: {}", Chain(error)),
        };
        if let Err(error) = self.finish(&outcome, monitor, action.result()).await {
            let (id, error) = (self.id, Chain(&error));
            tracing::warn!(id, %error, "outcome of an operator's action not recorded");
        }
        result
    }

    async fn finish(
        &self,
        outcome: &str,
        monitor: &Monitor,
        result: Option<Value>,
    ) -> Result<(), StoreError> {
        let connection = &mut *self.database.connection().await?;
        let result = result.map(|result| result.to_string());
        operator_actions::finish(connection, self.id, outcome, monitor.progress(), result).await
    }

    /// Reports while the action runs.
    async fn report(&self, monitor: &Monitor) -> std::convert::Infallible {
        let mut reported = Instant::now();
        loop {
            sleep(REPORT_INTERVAL).await;
            let (done, total) = monitor.progress();
            let report = async {
                let connection = &mut *self.database.connection().await?;
                operator_actions::report(connection, self.id, done, total).await
            };
            match timeout_at(reported + MAX_SILENCE, report).await {
                Ok(Ok(stop)) => {
                    reported = Instant::now();
                    if let Some(operator) = stop {
                        monitor.stop_for(operator);
                    }
                }
                Ok(Err(error)) => {
                    let (id, error) = (self.id, Chain(&error));
                    tracing::warn!(id, %error, "progress of an operator's action not recorded");
                }
                Err(_) => monitor.stop.cancel(),
            }
        }
    }
}
