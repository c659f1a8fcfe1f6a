//! What `dlq redrive` and `dlq discard` have in common: they select records of a dead letter topic,
//! count them, and process them in steps.

use std::num::NonZeroU32;
use std::process::ExitCode;

use conf::Conf;
use messaging::KafkaSettings;
use messaging::redrive::{self, Action, Selection};
use operations::Throttle;
use operations::progress;
use serde_json::{Value, json};
use store::{Database, DatabaseSettings};

use super::report::Report;
use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

/// Maximum number of records that are processed together.
const BATCH: usize = 500;

/// The dead letters, and who changes them.
#[derive(Conf)]
pub(super) struct Target {
    #[conf(flatten)]
    kafka: KafkaSettings,

    // Where the action is recorded.
    #[conf(flatten)]
    database: DatabaseSettings,

    #[conf(flatten)]
    operator: Operator,

    /// The dead letter topic, as in TOPIC.GROUP.dlq
    #[conf(pos, value_parser = parse_topic)]
    topic: String,

    /// Only records of this error class
    #[conf(long)]
    class: Option<String>,

    #[conf(flatten)]
    output: Output,
}

pub(super) struct Change {
    pub(super) action: Action,
    /// The parameter of the action that is recorded.
    pub(super) parameter: (&'static str, Value),
    /// Whether the records are changed, and not only counted.
    pub(super) apply: bool,
    pub(super) max: Option<u64>,
    /// Maximum number per second.
    pub(super) rate: Option<NonZeroU32>,
}

fn parse_topic(text: &str) -> Result<String, &'static str> {
    if redrive::is_dead_letter_topic(text) {
        Ok(text.to_owned())
    } else {
        Err(
            "must be the dead letter topic of a group, as in TOPIC.GROUP.dlq (for events that could not be published, \
             use `salesctl outbox`)",
        )
    }
}

impl Target {
    pub(super) async fn change(self, change: Change) -> Result<ExitCode, Failure> {
        let Change { action, apply, max, .. } = change;
        let selection = Selection { class: self.class.clone(), most: max, action };
        let mut redrive = redrive::Redrive::new(&self.kafka, &self.topic, selection)?;
        let bar = progress::bar("reading  ", 0);
        let plan = redrive
            .plan(|read, all| {
                bar.set_length(all);
                bar.set_position(read);
            })
            .await?;
        bar.finish_and_clear();
        let mut report = Report::new(&self.topic, action, !apply, plan);
        if apply {
            let act = async || {
                let result = act(&mut redrive, change.rate, &mut report).await;
                let done = report.done_text();
                result.map(|()| done.clone()).inspect_err(|_| {
                    eprintln!("{done}; run the command again to continue");
                })
            };
            let name = match action {
                Action::SendBack { .. } => "redrive dead letters",
                Action::Discard => "discard dead letters",
            };
            let mut parameters = json!({ "topic": self.topic, "class": self.class, "max": max });
            let (parameter, value) = change.parameter;
            parameters[parameter] = value;
            let database = Database::new("salesctl", &self.database.with_pool_size(1));
            self.operator.recorded(&database, name, &parameters, act, String::clone).await?;
        }
        self.output.print(&report.json(), || report.text())?;
        Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn act(
    redrive: &mut redrive::Redrive,
    rate: Option<NonZeroU32>,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let throttle = Throttle::start(rate);
    let most = throttle.step(BATCH);
    let bar = progress::bar(report.progress(), report.plan.selected);
    redrive.begin(&report.plan).await?;
    while let Some(step) = redrive.step(most).await? {
        report.done += step.done;
        report.kept += step.left;
        report.refused.extend(step.refused);
        bar.set_position(report.done);
        if report.done < report.plan.selected {
            throttle.due(report.done).await;
        }
    }
    bar.finish_and_clear();
    Ok(())
}
