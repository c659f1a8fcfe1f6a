//! `salesctl verify`: checks the invariants of a running system.

use std::process::ExitCode;
use std::time::Duration;

use chrono::{DateTime, Utc};
use conf::Conf;
use contracts::parse_timestamp;
use domain::{OrderId, Owner};
use messaging::KafkaSettings;
use operations::progress::bar;
use operations::settings::{Databases, TopicSettings};
use operations::token::parse_subject;
use operations::verify::{Progress, Selection, Sources};
use service_kit::config::within;

use crate::failure::Failure;
use crate::output::Output;

/// The exit code for violations.
const VIOLATED: u8 = 3;

/// Default of `--stuck-after`, in seconds.
const STUCK_AFTER: u64 = 300;

/// The databases, the topics, and the selection of orders.
#[derive(Conf)]
pub(super) struct SourceSettings {
    #[conf(flatten)]
    databases: Databases,

    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicSettings,

    /// Only orders created at or after this instant, as in 2026-03-01T12:00:00Z
    #[conf(long, value_parser = parse_instant)]
    since: Option<DateTime<Utc>>,

    /// Only orders created before this instant
    #[conf(long, value_parser = parse_instant)]
    until: Option<DateTime<Utc>>,

    /// Only the order with this id
    #[conf(long)]
    pub(super) order: Option<OrderId>,

    /// Only orders of this subject
    #[conf(long, value_parser = parse_subject)]
    owner: Option<Owner>,
}

#[derive(Conf)]
pub(crate) struct Verify {
    #[conf(flatten)]
    sources: SourceSettings,

    /// Seconds without a change after which a pending order is a warning, with what it waits for;
    /// 300 when unset, 0 with --order
    #[conf(long, value_parser = within(0..=31_536_000))]
    stuck_after: Option<u64>,

    /// Expect a drained system: a pending order is a violation
    #[conf(long)]
    drained: bool,

    #[conf(flatten)]
    output: Output,
}

fn parse_instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    parse_timestamp(text).ok_or("must be an instant as in 2026-03-01T12:00:00Z")
}

impl SourceSettings {
    pub(super) fn open(self) -> Sources {
        let (sales, delivery) =
            self.databases.open(|settings| store::Database::new("salesctl", settings));
        let selection = self
            .order
            .map_or_else(|| Selection::created(self.since, self.until), Selection::one)
            .of(self.owner);
        Sources { sales, delivery, kafka: self.kafka, names: self.names.into(), selection }
    }
}

/// Shows the progress on stderr.
pub(super) fn progress() -> Progress {
    Progress { orders: bar("orders ", 0), records: bar("records", 0) }
}

impl Verify {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let order = self.sources.order;
        let stuck_after = self.stuck_after.unwrap_or(if order.is_some() { 0 } else { STUCK_AFTER });
        let stuck_after = Duration::from_secs(stuck_after);
        let report = self.sources.open().verify(stuck_after, self.drained, &progress()).await?;
        if let Some(order) = order
            && report.is_empty()
            && report.is_clean()
        {
            return Err(format!("no order {order} was found").into());
        }
        self.output.print(&report.json(), || report.to_string())?;
        Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(VIOLATED) })
    }
}
