//! `salesctl verify`: checks the invariants of a running system.
//!
//! A test checks only the orders that it has created. This command checks the orders that are in
//! the system now: it reads both databases and the topics, changes nothing, and names each order
//! that violates an invariant.

mod databases;
mod dead_letters;
mod findings;
mod judge;
mod ledger;
mod report;
mod run;
mod scope;
mod topics;

use std::process::ExitCode;
use std::time::Duration;

use conf::Conf;
use domain::OrderId;
use messaging::KafkaSettings;
use service_kit::config::number_in;

pub(super) use self::findings::Case;
pub(super) use self::judge::{Plan, plan};
use self::report::Report;
pub(super) use self::run::Run;
use self::scope::Selected;
use super::databases::Databases;
use super::topics::TopicSettings;
use crate::failure::Failure;
use crate::output;

/// The exit code for violations.
const VIOLATED: u8 = 3;

/// Default of `--stuck-after`, in seconds.
const STUCK_AFTER: u64 = 300;

/// The databases, the topics, and the selection of orders.
#[derive(Conf)]
pub(super) struct Sources {
    #[conf(flatten)]
    databases: Databases,

    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicSettings,

    #[conf(flatten)]
    selected: Selected,
}

#[derive(Conf)]
pub(crate) struct Verify {
    #[conf(flatten)]
    sources: Sources,

    /// Seconds without a change after which a pending order is a warning, with what it waits for;
    /// 300 when unset, 0 with --order
    #[conf(long, value_parser = parse_stuck_after)]
    stuck_after: Option<u64>,

    /// Expect a drained system: a pending order is a violation
    #[conf(long)]
    drained: bool,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

fn parse_stuck_after(text: &str) -> Result<u64, String> {
    number_in(text, 0..=31_536_000)
}

impl Sources {
    /// The only selected order.
    pub(super) const fn order(&self) -> Option<OrderId> {
        self.selected.order
    }

    pub(super) fn open(self) -> Run {
        let (sales, delivery) = self.databases.open();
        let (names, selection) = (self.names.into(), self.selected.selection());
        Run { sales, delivery, kafka: self.kafka, names, selection }
    }
}

impl Verify {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let order = self.sources.order();
        let stuck_after = self.stuck_after.unwrap_or(if order.is_some() { 0 } else { STUCK_AFTER });
        let run = self.sources.open();
        let report = run.verify(Duration::from_secs(stuck_after), self.drained).await?;
        if let Some(order) = order
            && report.is_empty()
            && report.is_clean()
        {
            return Err(format!("no order {order} was found").into());
        }
        output::print(self.json, &report, Report::text)?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) })
    }
}
