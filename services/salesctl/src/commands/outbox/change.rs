//! What `outbox redrive` and `outbox discard` have in common: they count dead letters, change them,
//! and report it.

use std::num::NonZeroU32;
use std::process::ExitCode;

use conf::Conf;
use domain::OrderId;
use operations::long_action::{Monitor, perform};
use operations::outbox_dead_letters::{Action, Change};
use operations::progress;
use serde_json::{Value, json};
use store::outbox::dead_letters::{DeadLetterFilter, Group, Plan};
use store::{Database, DatabaseSettings};

use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

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

impl Target {
    /// Counts the dead letters, and changes them if `yes` is set.
    pub(super) async fn change(
        self,
        action: Action,
        yes: bool,
        max: Option<u64>,
        rate: Option<NonZeroU32>,
    ) -> Result<ExitCode, Failure> {
        let database = Database::new("salesctl", &self.database.with_pool_size(2));
        let filter = DeadLetterFilter { id: self.id, topic: self.topic, order: self.order };
        let change = Change { action, filter, max, rate };
        let plan = change.plan(&database).await?;
        if let (Some(id), []) = (self.id, plan.groups.as_slice()) {
            return Err(format!("there is no dead letter {id} that waits").into());
        }
        let mut report = Report::new(&change, yes, plan);
        if yes {
            let bar = progress::bar(report.progress(), report.planned);
            let monitor = Monitor::of_bar(bar.clone());
            let mut action = change.clone().up_to(report.plan.newest, &database);
            let operator = self.operator.name();
            let result = perform(&database, operator, &mut action, &monitor).await;
            report.done = monitor.done();
            bar.finish_and_clear();
            report.stopped = result
                .inspect_err(|_| {
                    eprintln!("{}; run the command again to continue", report.done_text());
                })?
                .is_break();
        }
        self.output.print(&report.json(), || report.text())
    }
}

/// What was or would be changed.
struct Report<'a> {
    change: &'a Change,
    dry_run: bool,
    plan: Plan,
    planned: u64,
    done: u64,
    /// Whether an operator has stopped it.
    stopped: bool,
}

impl<'a> Report<'a> {
    fn new(change: &'a Change, yes: bool, plan: Plan) -> Self {
        let eligible = u64::try_from(plan.count(false)).unwrap_or(0);
        let planned = eligible.min(change.max.unwrap_or(u64::MAX));
        Self { change, dry_run: !yes, plan, planned, done: 0, stopped: false }
    }

    fn progress(&self) -> &'static str {
        match self.change.action {
            Action::Redrive { .. } => "redriving",
            Action::Discard { .. } => "discarding",
        }
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
            "dryRun": self.dry_run,
            "eligible": self.plan.count(false),
            "tooOften": self.plan.count(true),
            "exact": self.plan.complete,
            "groups": self.plan.groups.iter().map(group).collect::<Vec<_>>(),
        });
        let done = match self.change.action {
            Action::Redrive { .. } => "redriven",
            Action::Discard { .. } => "discarded",
        };
        report[done] = self.done.into();
        report
    }

    fn text(&self) -> String {
        let Self { plan, planned, .. } = self;
        let mut lines = Vec::new();
        if !plan.groups.is_empty() {
            lines.push(format!("{:>9}  topic, reason", "count"));
        }
        lines.extend(plan.groups.iter().map(|Group { topic, reason, too_often, count }| {
            let left = if *too_often { " (redriven too often; skipped)" } else { "" };
            format!("{count:>9}  {topic}{left}\n{:>9}  {reason}", "")
        }));
        if !plan.complete {
            lines.push("Only the oldest dead letters were counted; there are more.".to_owned());
        }
        let skipped = match self.change.action {
            Action::Redrive { .. } => format!(", {} skipped", plan.count(true)),
            Action::Discard { .. } => String::new(),
        };
        lines.push(if self.dry_run {
            let participle = self.change.action.participle();
            format!(
                "{planned} events would be {participle}{skipped}. Nothing was changed: use --yes to apply."
            )
        } else {
            let stopped = if self.stopped { "Stopped: " } else { "" };
            format!("{stopped}{}{skipped}.", self.done_text())
        });
        lines.join("\n")
    }
}
