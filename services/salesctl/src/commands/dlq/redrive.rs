//! `salesctl dlq redrive`.

use std::process::ExitCode;

use chrono::{DateTime, TimeDelta, Utc};
use conf::Conf;
use contracts::timestamp_text;
use messaging::KafkaSettings;
use messaging::redrive::{self, Plan, Refusal, Selection, Tally};
use serde::Serialize;

use crate::commands::redrive::RedriveSettings;
use crate::failure::Failure;
use crate::output;
use crate::progress;
use crate::throttle::Throttle;

/// Maximum number of records that are sent together.
const BATCH: u32 = 500;

/// Kafka's default retention of the offsets of an inactive group.
const OFFSET_RETENTION: TimeDelta = TimeDelta::days(7);

#[derive(Conf)]
pub(super) struct Redrive {
    #[conf(flatten)]
    kafka: KafkaSettings,

    /// The dead letter topic, as in TOPIC.GROUP.dlq
    #[conf(pos, value_parser = parse_topic)]
    topic: String,

    #[conf(flatten)]
    settings: RedriveSettings,

    /// Only records of this error class
    #[conf(long)]
    class: Option<String>,

    /// Prints JSON
    #[conf(long)]
    json: bool,
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    topic: String,
    dry_run: bool,
    /// Records to send.
    planned: u64,
    sent: u64,
    /// Records that were written to the end of the dead letter topic again.
    kept: u64,
    refused: Vec<Refused>,
    classes: Vec<Class>,
    /// Time of the oldest dead letter in a partition without a committed offset of a redrive, if
    /// the offset may have expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    uncommitted_since: Option<DateTime<Utc>>,
}

#[derive(Serialize)]
struct Refused {
    partition: i32,
    offset: i64,
    reason: String,
}

/// The waiting records of one error class, by what is done with them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Class {
    class: String,
    eligible: u64,
    unselected: u64,
    too_often: u64,
    stray: u64,
    truncated: u64,
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
        let mut report = Report::new(self.topic.clone(), &plan);
        if self.settings.yes {
            report.dry_run = false;
            if let Err(error) = self.send(&mut redrive, &plan, &mut report).await {
                eprintln!("{} records were sent; run the redrive again to continue", report.sent);
                return Err(error);
            }
        }
        output::print(self.json, &report, Report::text)?;
        Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn send(
        &self,
        redrive: &mut redrive::Redrive,
        plan: &Plan,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let throttle = Throttle::start(self.settings.rate);
        let most = usize::try_from(throttle.step(BATCH))?;
        let bar = progress::bar("redriving", plan.send);
        redrive.begin(plan).await?;
        while let Some(step) = redrive.step(most).await? {
            report.sent += step.sent;
            report.kept += step.left;
            report.refused.extend(step.refused.into_iter().map(Refused::from));
            bar.set_position(report.sent);
            if report.sent < plan.send {
                throttle.due(report.sent).await;
            }
        }
        bar.finish_and_clear();
        Ok(())
    }
}

impl From<Refusal> for Refused {
    fn from(Refusal { partition, offset, reason }: Refusal) -> Self {
        Self { partition, offset, reason }
    }
}

impl Report {
    fn new(topic: String, plan: &Plan) -> Self {
        let class = |(class, tally): (&String, &Tally)| {
            let Tally { eligible, unselected, too_often, stray, truncated } = *tally;
            Class { class: class.clone(), eligible, unselected, too_often, stray, truncated }
        };
        Self {
            topic,
            dry_run: true,
            planned: plan.send,
            sent: 0,
            kept: 0,
            refused: Vec::new(),
            classes: plan.classes.iter().map(class).collect(),
            uncommitted_since: plan
                .oldest_without_offset
                .filter(|oldest| *oldest < Utc::now() - OFFSET_RETENTION),
        }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        if !self.classes.is_empty() {
            lines.push(format!(
                "{:<24} {:>9} {:>10} {:>9} {:>9} {:>9}",
                "class", "eligible", "unselected", "too often", "stray", "truncated"
            ));
        }
        lines.extend(self.classes.iter().map(|it| {
            format!(
                "{:<24} {:>9} {:>10} {:>9} {:>9} {:>9}",
                it.class, it.eligible, it.unselected, it.too_often, it.stray, it.truncated
            )
        }));
        lines.extend(self.refused.iter().map(|Refused { partition, offset, reason }| {
            format!("refused by its topic: partition {partition}, offset {offset}: {reason}")
        }));
        lines.extend(self.uncommitted_since.map(|oldest| {
            format!(
                "The broker has no redrive offset for dead letters since {}. If there was a redrive, its offset has expired, \
                 and its records are sent again: set offsets.retention.minutes to 40320.",
                timestamp_text(oldest)
            )
        }));
        lines.push(if self.dry_run {
            format!(
                "{} records would be sent. Nothing was changed: use --yes to apply.",
                self.planned
            )
        } else {
            format!("{} records were sent back.", self.sent)
        });
        lines.join("\n")
    }
}
