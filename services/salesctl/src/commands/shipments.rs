//! `salesctl shipments`: the delivery steps that Kafka refused.

use std::process::ExitCode;

use conf::{Conf, Subcommands};
use contracts::delivery_events::event_type;
use contracts::timestamp_text;
use domain::OrderId;
use serde::Serialize;
use service_kit::config::number_in;
use store::shipments::{self, RefusedStep};

use super::databases::Databases;
use crate::failure::Failure;
use crate::output;

#[derive(Conf)]
pub(crate) struct Shipments {
    #[conf(subcommands)]
    command: Command,
}

#[derive(Subcommands)]
enum Command {
    /// Lists steps that Kafka refused, latest first
    DeadLetters(DeadLetters),
    /// Makes these steps due again for delivery-service; a dry run unless --yes is given
    ///
    /// The events are the same as before. All steps are put back, or, if the command fails, none.
    Redrive(Redrive),
}

#[derive(Conf)]
struct DeadLetters {
    #[conf(flatten)]
    databases: Databases,

    /// Maximum number of steps to list
    #[conf(long, default_value = "20", value_parser = parse_limit)]
    limit: i64,

    /// Only the step of this order
    #[conf(long)]
    order: Option<OrderId>,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Conf)]
struct Redrive {
    #[conf(flatten)]
    databases: Databases,

    /// Put the steps back; without this option, only count them
    #[conf(long)]
    yes: bool,

    /// Only the step of this order
    #[conf(long)]
    order: Option<OrderId>,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

fn parse_limit(text: &str) -> Result<i64, String> {
    number_in(text, 1..=10_000)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    order_id: String,
    event_type: &'static str,
    at: String,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    /// Steps that were dead letters before the redrive.
    eligible: i64,
    redriven: usize,
}

impl Shipments {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::DeadLetters(command) => command.run().await?,
            Command::Redrive(command) => command.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl DeadLetters {
    async fn run(self) -> Result<(), Failure> {
        let (_, delivery) = self.databases.open();
        let mut connection = delivery.connection().await?;
        let steps = shipments::refused(&mut connection, self.order, self.limit).await?;
        let listed: Vec<Listed> = steps.into_iter().map(Listed::from).collect();
        output::print(self.json, &listed, |listed| {
            if listed.is_empty() {
                return "no dead letters".to_owned();
            }
            listed.iter().map(Listed::text).collect::<Vec<_>>().join("\n")
        })
    }
}

impl Redrive {
    async fn run(self) -> Result<(), Failure> {
        let (_, delivery) = self.databases.open();
        let mut connection = delivery.connection().await?;
        let eligible = shipments::count_refused(&mut connection, self.order, i64::MAX).await?;
        let mut report = Report { dry_run: !self.yes, eligible, redriven: 0 };
        if self.yes {
            report.redriven = shipments::redrive(&mut connection, self.order).await?;
        }
        output::print(self.json, &report, Report::text)
    }
}

impl From<RefusedStep> for Listed {
    fn from(step: RefusedStep) -> Self {
        Self {
            order_id: step.order_id.to_string(),
            event_type: event_type(step.step),
            at: timestamp_text(step.at),
            reason: step.reason,
        }
    }
}

impl Listed {
    fn text(&self) -> String {
        format!("{}  {}  order {}\n    {}", self.at, self.event_type, self.order_id, self.reason)
    }
}

impl Report {
    fn text(&self) -> String {
        if self.dry_run {
            let eligible = self.eligible;
            format!("{eligible} steps would be put back. Nothing was changed: use --yes to apply.")
        } else {
            format!("{} steps were put back.", self.redriven)
        }
    }
}
