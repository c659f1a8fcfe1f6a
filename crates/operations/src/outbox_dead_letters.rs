//! Puts events that Kafka refused back into the outbox, or discards them: the plan counts, and the
//! change acts and is recorded.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{DiscardReason, OrderId, Owner};
use serde_json::{Value, json};
use service_kit::Chain;
use store::Database;
use store::operator_actions::{self, NewAction};
use store::outbox::dead_letters::{self, DeadLetterFilter, Plan, Selection};

use crate::{OperationError, Throttle};

/// Maximum number of events that one statement changes.
const BATCH: usize = 500;

/// What is done with the selected dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Put back into the outbox.
    PutBack {
        /// Events that were put back this often are skipped.
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
            Self::PutBack { .. } => "put back",
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

    /// Changes dead letters with an id up to `newest`, which is that of a plan, and records it.
    /// Calls `changed` after each batch with the number so far, and stops if it says so. Returns the
    /// number; after a failure, the same change continues.
    pub async fn apply(
        &self,
        database: &Database,
        operator: Option<&Owner>,
        newest: i64,
        mut changed: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<u64, OperationError> {
        let (action, parameters) = self.record(newest);
        let new = NewAction { subject: operator, action, parameters: &parameters.to_string() };
        let done = AtomicU64::new(0);
        let act = async || {
            let changed = |count| {
                done.store(count, Ordering::Relaxed);
                changed(count)
            };
            self.act(database, newest, changed).await
        };
        let recorded = operator_actions::recorded(database, &new, act, |result| {
            let done = format!(
                "{} events were {}",
                done.load(Ordering::Relaxed),
                self.action.participle()
            );
            match result {
                Ok(ControlFlow::Continue(())) => done,
                Ok(ControlFlow::Break(())) => format!("stopped: {done}"),
                Err(error) => format!("failed after {done}: {}", Chain(error)),
            }
        });
        recorded.await.map(|_| done.load(Ordering::Relaxed))
    }

    fn selection(&self) -> Selection {
        let max_redrives = match self.action {
            Action::PutBack { max_redrives } => i32::try_from(max_redrives).unwrap_or(i32::MAX),
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
            Action::PutBack { max_redrives } => {
                parameters["maxRedrives"] = json!(max_redrives);
                ("redrive outbox", parameters)
            }
            Action::Discard { reason } => {
                parameters["reason"] = json!(reason.as_str());
                ("discard outbox dead letters", parameters)
            }
        }
    }

    async fn act(
        &self,
        database: &Database,
        newest: i64,
        mut changed: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, OperationError> {
        let selection = self.selection();
        let mut connection = database.connection().await?;
        let most = self.max.unwrap_or(u64::MAX);
        let throttle = Throttle::start(self.rate);
        let mut done = 0;
        while done < most {
            throttle.due(done).await;
            let limit = (throttle.step(BATCH) as u64).min(most - done);
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let connection = &mut *connection;
            let count = match &self.action {
                Action::PutBack { .. } => {
                    dead_letters::redrive(connection, &selection, newest, limit).await?
                }
                Action::Discard { reason } => {
                    dead_letters::discard(connection, &selection, reason, newest, limit).await?
                }
            };
            if count == 0 {
                break;
            }
            done += count as u64;
            if changed(done).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}
