//! `salesctl repair`: publishes again the events that the topics have lost.

use std::num::NonZeroU32;
use std::process::ExitCode;

use conf::Conf;
use operations::long_action::{Monitor, perform};
use operations::parse_rate;
use operations::progress::bar;
use operations::repair::{self, Plan, Repair as RepairAction};
use operations::verify::Case;

use super::verify::{SourceSettings, progress};
use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

#[derive(Conf)]
pub(crate) struct Repair {
    #[conf(flatten)]
    sources: SourceSettings,

    /// Publish; without this option, only count what would be published
    #[conf(long)]
    yes: bool,

    /// Maximum number of events to publish per second; new events of the same shard wait behind
    /// them
    #[conf(long, default_value = "1000", value_parser = parse_rate)]
    rate: NonZeroU32,

    #[conf(flatten)]
    operator: Operator,

    #[conf(flatten)]
    output: Output,
}

impl Repair {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let order = self.sources.order;
        let sources = self.sources.open();
        let plan = repair::plan(&sources, &progress()).await?;
        if let Some(order) = order
            && plan.examined == 0
        {
            return Err(format!("no order {order} was found").into());
        }
        let mut repair = RepairAction { sources, order, plan, rate: self.rate };
        let mut published = 0;
        if self.yes {
            let bar = bar("publishing", repair.plan.events.len() as u64);
            let monitor = Monitor::of_bar(bar.clone());
            let database = repair.sources.sales.clone();
            let result = perform(&database, self.operator.name(), &mut repair, &monitor).await;
            published = monitor.done();
            bar.finish_and_clear();
            let hint = "events were put into the outbox; run `repair` again to continue";
            if result.inspect_err(|_| eprintln!("{published} {hint}"))?.is_break() {
                eprintln!("stopped by an operator: {published} {hint}");
            }
        }
        let plan = &repair.plan;
        let mut report = plan.json();
        report["dryRun"] = (!self.yes).into();
        report["published"] = published.into();
        self.output.print(&report, || text(plan, self.yes.then_some(published)))
    }
}

/// Without `published`, the run was a dry run.
fn text(plan: &Plan, published: Option<u64>) -> String {
    let mut lines: Vec<String> =
        plan.counts().map(|(event_type, count)| format!("{count:>9}  {event_type}")).collect();
    lines.extend(plan.left.listed.iter().map(|Case { order_id, what }| {
        let order = order_id.as_deref().unwrap_or_default();
        format!("skipped: order {order} {what}")
    }));
    if plan.left.not_listed() > 0 {
        lines.push(format!("skipped: and {} more", plan.left.not_listed()));
    }
    if plan.dead_lettered > 0 {
        lines.push(format!(
            "{} orders wait for the redrive of a dead letter: salesctl dlq list",
            plan.dead_lettered
        ));
    }
    let total = plan.events.len() as u64;
    lines.push(match (published, total) {
        (_, 0) => "No event is missing that can be published again.".to_owned(),
        (None, _) => {
            format!(
                "{total} events would be published again. Nothing was changed: use --yes to apply."
            )
        }
        (Some(published), _) => format!("{published} events were put into the outbox."),
    });
    let skipped = published.map_or(0, |published| total.saturating_sub(published));
    if skipped > 0 {
        lines.push(format!("{skipped} events were skipped: their orders have changed meanwhile."));
    }
    lines.join("\n")
}
