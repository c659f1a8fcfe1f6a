//! What `dlq redrive` and `dlq discard` did or would do.

use chrono::{DateTime, TimeDelta, Utc};
use contracts::timestamp_text;
use messaging::redrive::{Plan, Refusal, Tally};
use operations::dead_letter_topics::{ChangeAction, TopicChange};
use serde_json::{Value, json};

/// Kafka's default retention of the offsets of an inactive group.
const OFFSET_RETENTION: TimeDelta = TimeDelta::days(7);

pub(super) struct Report<'a> {
    topic: &'a str,
    action: &'a ChangeAction,
    dry_run: bool,
    pub(super) plan: Plan,
    /// Records that were redriven or discarded.
    done: u64,
    /// Records that were written to the end of the dead letter topic again.
    kept: u64,
    pub(super) refused: Vec<Refusal>,
    /// Whether an operator has stopped it.
    pub(super) stopped: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(topic: &'a str, action: &'a ChangeAction, dry_run: bool, plan: Plan) -> Self {
        Self { topic, action, dry_run, plan, done: 0, kept: 0, refused: Vec::new(), stopped: false }
    }

    /// Adds what the change has done.
    pub(super) fn add(&mut self, done: u64, change: TopicChange) {
        self.done = done;
        self.kept = change.kept;
        self.refused = change.refused;
    }

    pub(super) fn progress(&self) -> &'static str {
        match self.action {
            ChangeAction::Redrive { .. } => "redriving",
            ChangeAction::Discard { .. } => "discarding",
        }
    }

    pub(super) fn done_text(&self) -> String {
        format!("{} records were {}", self.done, self.action.participle())
    }

    /// Time of the oldest dead letter in a partition without a committed offset of a redrive, if
    /// the offset may have expired.
    fn uncommitted_since(&self) -> Option<DateTime<Utc>> {
        let oldest = self.plan.oldest_without_offset;
        oldest.filter(|oldest| *oldest < Utc::now() - OFFSET_RETENTION)
    }

    pub(super) fn json(&self) -> Value {
        let Self { topic, action, dry_run, plan, done, kept, refused, .. } = self;
        let refusal = |refusal: &Refusal| {
            let Refusal { partition, offset, reason } = refusal;
            json!({ "partition": partition, "offset": offset, "reason": reason })
        };
        let class = |(class, tally): (&String, &Tally)| {
            json!({
                "class": class,
                "eligible": tally.eligible,
                "unselected": tally.unselected,
                "tooOften": tally.too_often,
                "stray": tally.stray,
                "truncated": tally.truncated,
            })
        };
        let mut report = json!({
            "topic": topic,
            "dryRun": dry_run,
            "planned": plan.selected,
            "kept": kept,
            "refused": refused.iter().map(refusal).collect::<Vec<_>>(),
            "classes": plan.classes.iter().map(class).collect::<Vec<_>>(),
        });
        let key = match action {
            ChangeAction::Redrive { .. } => "sent",
            ChangeAction::Discard { .. } => "discarded",
        };
        report[key] = (*done).into();
        if let Some(since) = self.uncommitted_since() {
            report["uncommittedSince"] = json!(since);
        }
        report
    }

    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        if !self.plan.classes.is_empty() {
            lines.push(format!(
                "{:<24} {:>9} {:>10} {:>9} {:>9} {:>9}",
                "class", "eligible", "unselected", "too often", "stray", "truncated"
            ));
        }
        lines.extend(self.plan.classes.iter().map(|(class, tally)| {
            let Tally { eligible, unselected, too_often, stray, truncated } = tally;
            format!("{class:<24} {eligible:>9} {unselected:>10} {too_often:>9} {stray:>9} {truncated:>9}")
        }));
        lines.extend(self.refused.iter().map(|Refusal { partition, offset, reason }| {
            format!("refused by its topic: partition {partition}, offset {offset}: {reason}")
        }));
        lines.extend(self.uncommitted_since().map(|oldest| {
            format!(
                "The broker has no redrive offset for dead letters since {}. If there was a redrive, its offset has expired, \
                 and its records are selected again: set offsets.retention.minutes to 40320.",
                timestamp_text(oldest)
            )
        }));
        lines.push(if self.dry_run {
            let (planned, participle) = (self.plan.selected, self.action.participle());
            format!(
                "{planned} records would be {participle}. Nothing was changed: use --yes to apply."
            )
        } else {
            let stopped = if self.stopped { "Stopped: " } else { "" };
            format!("{stopped}{}.", self.done_text())
        });
        lines.join("\n")
    }
}
