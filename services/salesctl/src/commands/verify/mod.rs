//! `salesctl verify`: holds a running system against what it promises.
//!
//! A test can look at what it has made; whoever runs the system wants to know of the orders that are in it now. So this
//! reads both databases and the topics, changes nothing, and names each order that breaks a promise.

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

/// A promise is broken.
const VIOLATED: u8 = 3;

/// Seconds after which an order has been on its way for long.
const STUCK_AFTER: u64 = 300;

/// Where everything is, and what of it is looked at.
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

    /// Seconds without a change after which an order on its way is mentioned, with where it is; 300 when unset, 0 with
    /// --order
    #[conf(long, value_parser = parse_stuck_after)]
    stuck_after: Option<u64>,

    /// Says that nothing is on its way any more: an order that is, is a violation
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
    /// The only order that is looked at.
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
