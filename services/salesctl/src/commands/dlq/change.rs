//! What `dlq redrive` and `dlq discard` have in common: they select records of a dead letter topic,
//! count them, and process them in steps.

use std::num::NonZeroU32;
use std::process::ExitCode;

use conf::Conf;
use domain::OrderId;
use messaging::KafkaSettings;
use messaging::redrive::{self, Filter};
use operations::dead_letter_topics::{Change, ChangeAction};
use operations::long_action::{Monitor, perform};
use operations::progress;
use store::{Database, DatabaseSettings};

use super::report::Report;
use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

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

    /// Only records of this order
    #[conf(long)]
    order: Option<OrderId>,

    /// Only the record at this partition and at the offset of --offset
    #[conf(long)]
    partition: Option<i32>,

    /// Only the record at this offset and in the partition of --partition, which is 0 when unset
    #[conf(long)]
    offset: Option<i64>,

    #[conf(flatten)]
    output: Output,
}

/// What is done, and whether it is done or only counted.
pub(super) struct Wanted {
    pub(super) action: ChangeAction,
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
    pub(super) async fn change(self, wanted: Wanted) -> Result<ExitCode, Failure> {
        let Wanted { action, apply, max, rate } = wanted;
        if self.partition.is_some() && self.offset.is_none() {
            eprintln!("error: --partition requires --offset");
            return Ok(ExitCode::from(2));
        }
        let filter = Filter {
            class: self.class,
            key: self.order.map(|order| order.to_string()),
            record: self.offset.map(|offset| (self.partition.unwrap_or_default(), offset)),
        };
        let (topic, until) = (self.topic.clone(), None);
        let change = Change { topic, action: action.clone(), filter, until, max, rate };
        let bar = progress::bar("reading  ", 0);
        let planned = change.plan(&self.kafka, |read, all| {
            bar.set_length(all);
            bar.set_position(read);
        });
        let mut planned = planned.await?;
        bar.finish_and_clear();
        let mut report = Report::new(&self.topic, &action, !apply, planned.plan.clone());
        if apply {
            let bar = progress::bar(report.progress(), report.plan.selected);
            let monitor = Monitor::of_bar(bar.clone());
            let database = Database::new("salesctl", &self.database.with_pool_size(2));
            let operator = self.operator.name();
            let result = perform(&database, operator, &mut planned, &monitor).await;
            report.add(monitor.done(), planned);
            bar.finish_and_clear();
            report.stopped = result
                .inspect_err(|_| {
                    eprintln!("{}; run the command again to continue", report.done_text());
                })?
                .is_break();
        }
        self.output.print(&report.json(), || report.text())?;
        Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
