//! Redrives events that Kafka refused, or discards them: the plan counts, and the change acts and is
//! recorded.

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use domain::{DiscardReason, OrderId};
use serde_json::{Value, json};
use store::Database;
use store::outbox::dead_letters::{self, DeadLetterFilter, Plan, Selection};

use crate::long_action::{LongAction, Monitor};
use crate::{OperationError, Throttle};

/// Maximum number of events that one statement changes.
const BATCH: usize = 500;

/// What is done with the selected dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sent back to the outbox.
    Redrive {
        /// Events that were redriven this often are skipped.
        max_redrives: u32,
    },
    /// Never published.
    Discard {
        /// Why, for the record.
        reason: DiscardReason,
    },
}

impl Action {
    /// What has happened to an event.
    pub const fn participle(&self) -> &'static str {
        match self {
            Self::Redrive { .. } => "redriven",
            Self::Discard { .. } => "discarded",
        }
    }
}

/// A change of dead letters of the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// Which dead letters.
    pub filter: DeadLetterFilter,
    /// Maximum number of events.
    pub max: Option<u64>,
    /// Maximum number of events per second.
    pub rate: Option<NonZeroU32>,
}

impl Change {
    /// Counts the dead letters that would be changed, and those that would be skipped.
    pub async fn plan(&self, database: &Database) -> Result<Plan, OperationError> {
        Ok(dead_letters::plan(&mut *database.connection().await?, &self.selection()).await?)
    }

    /// The action that changes dead letters with an id up to `newest`, which is that of a plan.
    pub fn up_to(self, newest: i64, database: &Database) -> OutboxChange {
        OutboxChange { change: self, newest, database: database.clone() }
    }

    fn selection(&self) -> Selection {
        let max_redrives = match self.action {
            Action::Redrive { max_redrives } => i32::try_from(max_redrives).unwrap_or(i32::MAX),
            Action::Discard { .. } => i32::MAX,
        };
        Selection { filter: self.filter.clone(), max_redrives }
    }

    /// The name of the action, and its parameters.
    fn record(&self, newest: i64) -> (&'static str, Value) {
        let DeadLetterFilter { id, topic, order } = &self.filter;
        let order = order.map(OrderId::as_uuid);
        let mut parameters = json!({
            "id": id, "topic": topic, "order": order, "max": self.max, "newest": newest,
        });
        match &self.action {
            Action::Redrive { max_redrives } => {
                parameters["maxRedrives"] = json!(max_redrives);
                ("redrive outbox", parameters)
            }
            Action::Discard { reason } => {
                parameters["reason"] = json!(reason.as_str());
                ("discard outbox dead letters", parameters)
            }
        }
    }
}

/// A [`Change`] that runs. After a failure, the same change continues.
#[derive(Clone)]
pub struct OutboxChange {
    change: Change,
    newest: i64,
    database: Database,
}

impl LongAction for OutboxChange {
    fn record(&self) -> (&'static str, Value) {
        self.change.record(self.newest)
    }

    fn outcome(&self, done: u64) -> String {
        format!("{done} events were {}", self.change.action.participle())
    }

    async fn act(&mut self, monitor: &Monitor) -> Result<ControlFlow<()>, OperationError> {
        let Self { change, newest, database } = self;
        let selection = change.selection();
        let most = change.max.unwrap_or(u64::MAX);
        let throttle = Throttle::start(change.rate);
        let mut done = 0;
        while done < most {
            if monitor.unless_stopped(throttle.due(done)).await.is_none() {
                return Ok(ControlFlow::Break(()));
            }
            let limit = (throttle.step(BATCH) as u64).min(most - done);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            // Returned after each batch: the reports of the progress need one, too.
            let connection = &mut *database.connection().await?;
            let count = match &change.action {
                Action::Redrive { .. } => {
                    dead_letters::redrive(connection, &selection, *newest, limit).await?
                }
                Action::Discard { reason } => {
                    dead_letters::discard(connection, &selection, reason, *newest, limit).await?
                }
            };
            if count == 0 {
                break;
            }
            done += count as u64;
            monitor.set_done(done);
        }
        Ok(ControlFlow::Continue(()))
    }
}
