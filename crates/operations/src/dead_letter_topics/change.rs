//! Redrives or discards dead letters of a consumer group.

use std::num::NonZeroU32;
use std::ops::ControlFlow;

use domain::DiscardReason;
use messaging::KafkaSettings;
use messaging::redrive::{Action, Filter, Plan, Redrive, Refusal, Selection};
use serde_json::{Value, json};

use crate::long_action::{LongAction, Monitor};
use crate::{OperationError, Throttle};

/// Maximum number of records that are processed together.
const BATCH: usize = 500;

/// What is done with the selected dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeAction {
    /// Sent back to their topic.
    Redrive {
        /// Records that were redriven this often are left.
        max_redrives: u32,
    },
    /// Never sent back.
    Discard {
        /// Why, for the record.
        reason: DiscardReason,
    },
}

impl ChangeAction {
    /// What has happened to a record.
    pub const fn participle(&self) -> &'static str {
        match self {
            Self::Redrive { .. } => "redriven",
            Self::Discard { .. } => "discarded",
        }
    }

    const fn kind(&self) -> Action {
        match self {
            Self::Redrive { max_redrives } => Action::SendBack { max_redrives: *max_redrives },
            Self::Discard { .. } => Action::Discard,
        }
    }
}

/// A change of the dead letters of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The dead letter topic.
    pub topic: String,
    /// What is done.
    pub action: ChangeAction,
    /// Which dead letters.
    pub filter: Filter,
    /// Only those that were counted before: where they end, from an earlier plan.
    pub until: Option<Vec<(i32, i64)>>,
    /// Maximum number of records.
    pub max: Option<u64>,
    /// Maximum number of records per second.
    pub rate: Option<NonZeroU32>,
}

/// A [`Change`] that was planned, and can run.
pub struct TopicChange {
    change: Change,
    redrive: Redrive,
    /// What it would do.
    pub plan: Plan,
    /// Records that were written to the end of the dead letter topic again.
    pub kept: u64,
    /// Records that their topic refused.
    pub refused: Vec<Refusal>,
}

impl Change {
    /// Reads the dead letters that wait, and counts those that would be changed. Calls `seen` with the
    /// number of records read, and the total. Another class or place than those of the waiting records is
    /// an error.
    pub async fn plan(
        self,
        kafka: &KafkaSettings,
        seen: impl FnMut(u64, u64) + Send,
    ) -> Result<TopicChange, OperationError> {
        let Self { topic, action, filter, until, max, .. } = &self;
        let selection = Selection {
            filter: filter.clone(),
            until: until.clone(),
            most: *max,
            action: action.kind(),
        };
        let mut redrive = Redrive::new(kafka, topic, selection)?;
        let plan = redrive.plan(seen).await?;
        self.check(&plan)?;
        Ok(TopicChange { change: self, redrive, plan, kept: 0, refused: Vec::new() })
    }

    /// Of no record at all, no class is expected.
    fn check(&self, plan: &Plan) -> Result<(), OperationError> {
        let Self { topic, filter, .. } = self;
        if let Some((partition, offset)) = filter.record
            && !plan.includes(partition, offset)
        {
            return Err(OperationError::NotWaiting { topic: topic.clone(), partition, offset });
        }
        match &filter.class {
            Some(class) if !plan.classes.is_empty() && !plan.classes.contains_key(class) => {
                let known = plan.classes.keys().cloned().collect::<Vec<_>>().join(", ");
                let (topic, class) = (topic.clone(), class.clone());
                Err(OperationError::UnknownClass { topic, class, known })
            }
            _ => Ok(()),
        }
    }
}

impl LongAction for TopicChange {
    fn record(&self) -> (&'static str, Value) {
        let Change { topic, action, filter: Filter { class, key, record }, max, .. } = &self.change;
        let mut parameters = json!({ "topic": topic, "class": class, "max": max });
        if let Some(key) = key {
            parameters["order"] = json!(key);
        }
        if let Some((partition, offset)) = record {
            parameters["partition"] = json!(partition);
            parameters["offset"] = json!(offset);
        }
        match action {
            ChangeAction::Redrive { max_redrives } => {
                parameters["maxRedrives"] = json!(max_redrives);
                ("redrive dead letters", parameters)
            }
            ChangeAction::Discard { reason } => {
                parameters["reason"] = json!(reason.as_str());
                ("discard dead letters", parameters)
            }
        }
    }

    /// Two redrives of a topic would write its other records to its end twice.
    fn target(&self) -> Option<String> {
        Some(format!("topic {}", self.change.topic))
    }

    fn outcome(&self, done: u64) -> String {
        let refused = match self.refused.len() {
            0 => String::new(),
            count => format!(", {count} were refused by their topic"),
        };
        format!("{done} records were {}{refused}", self.change.action.participle())
    }

    async fn act(&mut self, monitor: &Monitor) -> Result<ControlFlow<()>, OperationError> {
        let throttle = Throttle::start(self.change.rate);
        let most = throttle.step(BATCH);
        self.redrive.begin(&self.plan).await?;
        let mut done = 0;
        while !monitor.is_stopped() {
            let Some(step) = self.redrive.step(most).await? else {
                return Ok(ControlFlow::Continue(()));
            };
            done += step.done;
            self.kept += step.left;
            self.refused.extend(step.refused);
            monitor.set_done(done);
            if done < self.plan.selected {
                monitor.unless_stopped(throttle.due(done)).await;
            }
        }
        Ok(ControlFlow::Break(()))
    }
}
