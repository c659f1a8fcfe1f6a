//! `salesctl dlq redrive`.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use conf::Conf;
use contracts::timestamp_text;
use messaging::KafkaSettings;
use messaging::redrive::{self, Plan, Refusal, Selection, Tally};
use operations::Throttle;
use operations::progress;
use serde_json::{Value, json};
use store::{Database, DatabaseSettings};

use crate::commands::redrive::RedriveSettings;
use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

/// Maximum number of records that are sent together.
const BATCH: usize = 500;

/// Kafka's default retention of the offsets of an inactive group.
const OFFSET_RETENTION: TimeDelta = TimeDelta::days(7);

#[derive(Conf)]
pub(super) struct Redrive {
    #[conf(flatten)]
    kafka: KafkaSettings,

    // Where the redrive is recorded.
    #[conf(flatten)]
    database: DatabaseSettings,

    #[conf(flatten)]
    operator: Operator,

    /// The dead letter topic, as in TOPIC.GROUP.dlq
    #[conf(pos, value_parser = parse_topic)]
    topic: String,

    #[conf(flatten)]
    settings: RedriveSettings,

    /// Only records of this error class
    #[conf(long)]
    class: Option<String>,

    #[conf(flatten)]
    output: Output,
}

fn parse_topic(text: &str) -> Result<String, &'static str> {
    if redrive::is_dead_letter_topic(text) {
        Ok(text.to_owned())
    } else {
        Err(
            "must be the dead letter topic of a group, as in TOPIC.GROUP.dlq (for events that could not be published, \
             use `salesctl outbox redrive`)",
        )
    }
}

/// What was or would be sent.
struct Report {
    topic: String,
    dry_run: bool,
    plan: Plan,
    sent: u64,
    /// Records that were written to the end of the dead letter topic again.
    kept: u64,
    refused: Vec<Refusal>,
}

impl Redrive {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let selection = Selection {
            class: self.class.clone(),
            most: self.settings.max,
            max_redrives: self.settings.max_redrives,
        };
        let mut redrive = redrive::Redrive::new(&self.kafka, &self.topic, selection)?;
        let bar = progress::bar("reading  ", 0);
        let plan = redrive
            .plan(|read, all| {
                bar.set_length(all);
                bar.set_position(read);
            })
            .await?;
        bar.finish_and_clear();
        let topic = self.topic.clone();
        let mut report =
            Report { topic, dry_run: true, plan, sent: 0, kept: 0, refused: Vec::new() };
        if self.settings.yes {
            report.dry_run = false;
            let parameters = json!({
                "topic": self.topic, "class": self.class,
                "max": self.settings.max, "maxRedrives": self.settings.max_redrives,
            });
            let send = async || {
                let result = self.send(&mut redrive, &mut report).await;
                let sent = report.sent;
                result.map(|()| sent).inspect_err(|_| {
                    eprintln!("{sent} records were sent; run the redrive again to continue");
                })
            };
            let database = Database::new("salesctl", &self.database.with_pool_size(1));
            let describe = |sent: &u64| format!("{sent} records were sent");
            self.operator
                .recorded(&database, "redrive dead letters", &parameters, send, describe)
                .await?;
        }
        self.output.print(&report.json(), || report.text())?;
        Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn send(
        &self,
        redrive: &mut redrive::Redrive,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let throttle = Throttle::start(self.settings.rate);
        let most = throttle.step(BATCH);
        let bar = progress::bar("redriving", report.plan.send);
        redrive.begin(&report.plan).await?;
        while let Some(step) = redrive.step(most).await? {
            report.sent += step.sent;
            report.kept += step.left;
            report.refused.extend(step.refused);
            bar.set_position(report.sent);
            if report.sent < report.plan.send {
                throttle.due(report.sent).await;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

impl Report {
    /// Time of the oldest dead letter in a partition without a committed offset of a redrive, if
    /// the offset may have expired.
    fn uncommitted_since(&self) -> Option<DateTime<Utc>> {
        let oldest = self.plan.oldest_without_offset;
        oldest.filter(|oldest| *oldest < Utc::now() - OFFSET_RETENTION)
    }

    fn json(&self) -> Value {
        let Self { topic, dry_run, plan, sent, kept, refused } = self;
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
            "planned": plan.send,
            "sent": sent,
            "kept": kept,
            "refused": refused.iter().map(refusal).collect::<Vec<_>>(),
            "classes": plan.classes.iter().map(class).collect::<Vec<_>>(),
        });
        if let Some(since) = self.uncommitted_since() {
            report["uncommittedSince"] = json!(since);
        }
        report
    }

    fn text(&self) -> String {
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
                 and its records are sent again: set offsets.retention.minutes to 40320.",
                timestamp_text(oldest)
            )
        }));
        lines.push(if self.dry_run {
            let planned = self.plan.send;
            format!("{planned} records would be sent. Nothing was changed: use --yes to apply.")
        } else {
            format!("{} records were sent back.", self.sent)
        });
        lines.join("\n")
    }
}
