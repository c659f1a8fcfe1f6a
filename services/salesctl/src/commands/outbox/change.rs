//! What `outbox redrive` and `outbox discard` have in common: they select dead letters, count them,
//! and change them in batches.

use std::num::NonZeroU32;
use std::process::ExitCode;

use conf::Conf;
use domain::{DiscardReason, OrderId};
use operations::Throttle;
use operations::progress;
use serde_json::{Value, json};
use store::outbox::dead_letters::{self, DeadLetterFilter, Group, Plan, Selection};
use store::{Database, DatabaseSettings};

use super::connect;
use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

/// Maximum number of events that one statement changes.
const BATCH: usize = 500;

/// The dead letters, and who changes them.
#[derive(Conf)]
pub(super) struct Target {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// Only this dead letter
    #[conf(long)]
    id: Option<i64>,

    /// Only dead letters for this topic
    #[conf(long)]
    topic: Option<String>,

    /// Only dead letters of this order
    #[conf(long)]
    order: Option<OrderId>,

    #[conf(flatten)]
    operator: Operator,

    #[conf(flatten)]
    output: Output,
}

pub(super) enum Action {
    /// Events that were put back `max_redrives` times are skipped.
    PutBack {
        max_redrives: u32,
    },
    Discard {
        reason: DiscardReason,
    },
}

pub(super) struct Change {
    pub(super) action: Action,
    /// Whether the dead letters are changed, and not only counted.
    pub(super) apply: bool,
    pub(super) max: Option<u64>,
    /// Maximum number per second.
    pub(super) rate: Option<NonZeroU32>,
}

impl Target {
    pub(super) async fn change(self, change: Change) -> Result<ExitCode, Failure> {
        let selection = self.selection(&change.action)?;
        let plan = dead_letters::plan(&mut *connect(&self.database).await?, &selection).await?;
        if let (Some(id), []) = (self.id, plan.groups.as_slice()) {
            return Err(format!("there is no dead letter {id} that waits").into());
        }
        let mut report = Report::new(&change, plan);
        if change.apply {
            let act = async || {
                let result = self.act(&selection, &change, &mut report).await;
                let done = report.done_text();
                result.map(|()| done.clone()).inspect_err(|_| {
                    eprintln!("{done}; run the command again to continue");
                })
            };
            let database = Database::new("salesctl", &self.database.with_pool_size(1));
            let (action, parameters) = self.record(&change);
            self.operator.recorded(&database, action, &parameters, act, String::clone).await?;
        }
        self.output.print(&report.json(), || report.text())
    }

    fn selection(&self, action: &Action) -> Result<Selection, Failure> {
        let max_redrives = match action {
            Action::PutBack { max_redrives } => i32::try_from(*max_redrives)?,
            Action::Discard { .. } => i32::MAX,
        };
        let filter = DeadLetterFilter { id: self.id, topic: self.topic.clone(), order: self.order };
        Ok(Selection { filter, max_redrives })
    }

    /// The name of the action, and its parameters, for the record.
    fn record(&self, Change { action, max, .. }: &Change) -> (&'static str, Value) {
        let order = self.order.map(OrderId::as_uuid);
        let mut parameters =
            json!({ "id": self.id, "topic": self.topic, "order": order, "max": max });
        match action {
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
        selection: &Selection,
        change: &Change,
        report: &mut Report<'_>,
    ) -> Result<(), Failure> {
        let mut connection = connect(&self.database).await?;
        let most = change.max.unwrap_or(u64::MAX);
        let throttle = Throttle::start(change.rate);
        let bar = progress::bar(change.action.progress(), report.planned);
        while report.done < most {
            throttle.due(report.done).await;
            let limit = i64::try_from((throttle.step(BATCH) as u64).min(most - report.done))?;
            let newest = report.plan.newest;
            let done = match &change.action {
                Action::PutBack { .. } => {
                    dead_letters::redrive(&mut connection, selection, newest, limit).await?
                }
                Action::Discard { reason } => {
                    dead_letters::discard(&mut connection, selection, reason, newest, limit).await?
                }
            };
            if done == 0 {
                break;
            }
            report.done += done as u64;
            bar.set_position(report.done);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

impl Action {
    fn progress(&self) -> &'static str {
        match self {
            Self::PutBack { .. } => "redriving",
            Self::Discard { .. } => "discarding",
        }
    }

    /// What has happened to an event.
    fn participle(&self) -> &'static str {
        match self {
            Self::PutBack { .. } => "put back",
            Self::Discard { .. } => "discarded",
        }
    }
}

/// What was or would be changed.
struct Report<'a> {
    change: &'a Change,
    plan: Plan,
    planned: u64,
    done: u64,
}

impl<'a> Report<'a> {
    fn new(change: &'a Change, plan: Plan) -> Self {
        let eligible = u64::try_from(count(&plan, false)).unwrap_or(0);
        let planned = eligible.min(change.max.unwrap_or(u64::MAX));
        Self { change, plan, planned, done: 0 }
    }

    fn done_text(&self) -> String {
        format!("{} events were {}", self.done, self.change.action.participle())
    }

    /// `eligible` is the number of selected dead letters before the change. Without `exact`, only
    /// the oldest dead letters were counted.
    fn json(&self) -> Value {
        let group = |group: &Group| {
            let Group { topic, reason, too_often, count } = group;
            json!({ "topic": topic, "reason": reason, "count": count, "tooOften": too_often })
        };
        let mut report = json!({
            "dryRun": !self.change.apply,
            "eligible": count(&self.plan, false),
            "tooOften": count(&self.plan, true),
            "exact": self.plan.complete,
            "groups": self.plan.groups.iter().map(group).collect::<Vec<_>>(),
        });
        let done = match self.change.action {
            Action::PutBack { .. } => "redriven",
            Action::Discard { .. } => "discarded",
        };
        report[done] = self.done.into();
        report
    }

    fn text(&self) -> String {
        let Self { change: Change { action, apply, .. }, plan, planned, .. } = self;
        let mut lines = Vec::new();
        if !plan.groups.is_empty() {
            lines.push(format!("{:>9}  topic, reason", "count"));
        }
        lines.extend(plan.groups.iter().map(|Group { topic, reason, too_often, count }| {
            let left = if *too_often { " (put back too often; skipped)" } else { "" };
            format!("{count:>9}  {topic}{left}\n{:>9}  {reason}", "")
        }));
        if !plan.complete {
            lines.push("Only the oldest dead letters were counted; there are more.".to_owned());
        }
        let skipped = match action {
            Action::PutBack { .. } => format!(", {} skipped", count(plan, true)),
            Action::Discard { .. } => String::new(),
        };
        lines.push(if *apply {
            format!("{}{skipped}.", self.done_text())
        } else {
            let participle = action.participle();
            format!(
                "{planned} events would be {participle}{skipped}. Nothing was changed: use --yes to apply."
            )
        });
        lines.join("\n")
    }
}

/// Number of dead letters that were redriven too often, or of the others.
fn count(plan: &Plan, too_often: bool) -> i64 {
    let groups = plan.groups.iter().filter(|group| group.too_often == too_often);
    groups.map(|group| group.count).sum()
}
