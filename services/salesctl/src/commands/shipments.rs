//! `salesctl shipments`: the delivery steps that Kafka refused.

use std::process::ExitCode;

use conf::{Conf, Subcommands};
use contracts::timestamp_text;
use domain::OrderId;
use operations::long_action::{Monitor, perform};
use operations::progress::bar;
use operations::refused_steps::Change;
use operations::settings::Databases;
use serde_json::{Value, json};
use service_kit::config::within;
use store::shipments::{self, RefusedStep};

use crate::failure::Failure;
use crate::output::{self, Output};
use crate::recorded::Operator;

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
    /// The events are the same as before. The oldest steps are redriven first, 500 at a time; after a
    /// failure, the same command continues.
    Redrive(Redrive),
}

#[derive(Conf)]
struct DeadLetters {
    #[conf(flatten)]
    databases: Databases,

    /// Maximum number of steps to list
    #[conf(long, default_value = "20", value_parser = within(1..=10_000))]
    limit: i64,

    /// Only the step of this order
    #[conf(long)]
    order: Option<OrderId>,

    #[conf(flatten)]
    output: Output,
}

#[derive(Conf)]
struct Redrive {
    #[conf(flatten)]
    databases: Databases,

    /// Redrive the steps; without this option, only count them
    #[conf(long)]
    yes: bool,

    /// Maximum number of steps to redrive
    #[conf(long, value_parser = within(1..=1_000_000_000))]
    max: Option<i64>,

    /// Only the step of this order
    #[conf(long)]
    order: Option<OrderId>,

    #[conf(flatten)]
    operator: Operator,

    #[conf(flatten)]
    output: Output,
}

impl Shipments {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::DeadLetters(command) => command.run().await,
            Command::Redrive(command) => command.run().await,
        }
    }
}

impl DeadLetters {
    async fn run(self) -> Result<ExitCode, Failure> {
        let (_, delivery) =
            self.databases.open(|settings| store::Database::new("salesctl", settings));
        let mut connection = delivery.connection().await?;
        let steps = shipments::refused(&mut connection, self.order, self.limit).await?;
        let listed: Vec<Value> = steps.iter().map(json).collect();
        self.output.print(&listed, || output::dead_letters(&steps, "\n", text))
    }
}

impl Redrive {
    async fn run(self) -> Result<ExitCode, Failure> {
        let (sales, delivery) =
            self.databases.open(|settings| store::Database::new("salesctl", settings));
        let change = Change { order: self.order, max: self.max };
        // Before the redrive.
        let eligible = change.plan(&delivery, i64::MAX).await?;
        let steps = eligible.min(self.max.unwrap_or(i64::MAX));
        let mut redriven = 0;
        if self.yes {
            let monitor = Monitor::of_bar(bar("redriving", steps.unsigned_abs()));
            let mut action = change.of(eligible, &delivery);
            let result = perform(&sales, self.operator.name(), &mut action, &monitor).await;
            redriven = monitor.done();
            if result?.is_break() {
                eprintln!("stopped by an operator; run the command again to continue");
            }
        }
        let report = json!({ "dryRun": !self.yes, "eligible": eligible, "redriven": redriven });
        self.output.print(&report, || {
            if self.yes {
                return format!("{redriven} steps were redriven.");
            }
            format!("{steps} steps would be redriven. Nothing was changed: use --yes to apply.")
        })
    }
}

fn json(RefusedStep { order_id, event, at, reason }: &RefusedStep) -> Value {
    json!({
        "orderId": order_id.as_uuid(),
        "eventType": event.event_type(),
        "at": timestamp_text(*at),
        "reason": reason,
    })
}

fn text(RefusedStep { order_id, event, at, reason }: &RefusedStep) -> String {
    let (at, event_type) = (timestamp_text(*at), event.event_type());
    format!("{at}  {event_type}  order {order_id}\n    {reason}")
}
