//! `salesctl repair`: publishes again the events that the topics have lost.
//!
//! An event is a function of database rows, so it can be rebuilt with the same id, value and time,
//! and a consumer that has applied it ignores it. The missing events are found in the same way as
//! by `salesctl verify`, and published through the outbox.

use std::num::NonZeroU32;
use std::process::ExitCode;

use conf::Conf;
use domain::{OrderId, OrderStatus};
use serde::Serialize;
use store::{outbox, rebuild};

use super::verify::{Case, Plan, Run, Sources, plan};
use crate::failure::Failure;
use crate::output;
use crate::progress;
use crate::throttle::{Throttle, parse_rate};

/// Maximum number of events that one transaction puts into the outbox.
const BATCH: u32 = 500;

#[derive(Conf)]
pub(crate) struct Repair {
    #[conf(flatten)]
    sources: Sources,

    /// Publish; without this option, only count what would be published
    #[conf(long)]
    yes: bool,

    /// Maximum number of events to publish per second; new events of the same shard wait behind
    /// them
    #[conf(long, default_value = "1000", value_parser = parse_rate)]
    rate: NonZeroU32,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    /// Events to publish, by type.
    missing: Vec<Missing>,
    /// Events that were put into the outbox.
    published: u64,
    /// Orders that delivery-service would ship again.
    left: u64,
    left_cases: Vec<Case>,
    /// Orders that wait for the redrive of a dead letter.
    dead_lettered: u64,
}

#[derive(Serialize)]
struct Missing {
    #[serde(rename = "type")]
    event_type: &'static str,
    count: u64,
}

impl Repair {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let order = self.sources.order();
        let run = self.sources.open();
        let examined = run.examine().await?;
        if let Some(order) = order
            && examined.ledger.entries().is_empty()
        {
            return Err(format!("no order {order} was found").into());
        }
        let plan = plan(&examined.ledger, examined.horizons);
        drop(examined);
        let mut report = Report::new(&plan);
        if self.yes {
            report.dry_run = false;
            let throttle = Throttle::start(Some(self.rate));
            let result = publish(&run, &plan.events, throttle, &mut report.published).await;
            if let Err(error) = result {
                eprintln!(
                    "{} events were put into the outbox; run `repair` again to continue",
                    report.published
                );
                return Err(error);
            }
        }
        output::print(self.json, &report, Report::text)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Puts the events into the outbox, one batch per statement. An event in the outbox is no longer
/// missing, so the next run continues where this one ended.
async fn publish(
    run: &Run,
    events: &[(OrderId, OrderStatus)],
    throttle: Throttle,
    published: &mut u64,
) -> Result<(), Failure> {
    let bar = progress::bar("publishing", events.len() as u64);
    for batch in events.chunks(usize::try_from(throttle.step(BATCH))?) {
        throttle.due(*published).await;
        let events = rebuild::events(&run.sales, &run.delivery, batch, &run.names).await?;
        outbox::enqueue(&mut *run.sales.connection().await?, &events).await?;
        *published += events.len() as u64;
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    Ok(())
}

impl Report {
    fn new(plan: &Plan) -> Self {
        let missing = plan.counts().map(|(event_type, count)| Missing { event_type, count });
        Self {
            dry_run: true,
            missing: missing.collect(),
            published: 0,
            left: plan.left.count,
            left_cases: plan.left.listed.clone(),
            dead_lettered: plan.dead_lettered,
        }
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = self
            .missing
            .iter()
            .map(|Missing { event_type, count }| format!("{count:>9}  {event_type}"))
            .collect();
        lines.extend(self.left_cases.iter().map(|Case { order_id, what }| {
            let order = order_id.as_deref().unwrap_or_default();
            format!("skipped: order {order} {what}; delivery-service would ship it again")
        }));
        let not_listed = self.left - self.left_cases.len() as u64;
        if not_listed > 0 {
            lines.push(format!("skipped: and {not_listed} more"));
        }
        if self.dead_lettered > 0 {
            lines.push(format!(
                "{} orders wait for the redrive of a dead letter: salesctl dlq list",
                self.dead_lettered
            ));
        }
        let total: u64 = self.missing.iter().map(|missing| missing.count).sum();
        lines.push(match (self.dry_run, total) {
            (_, 0) => "No event is missing that can be published again.".to_owned(),
            (true, _) => {
                format!("{total} events would be published again. Nothing was changed: use --yes to apply.")
            }
            (false, _) => format!("{} events were put into the outbox.", self.published),
        });
        let skipped = total.saturating_sub(self.published);
        if !self.dry_run && skipped > 0 {
            lines.push(format!(
                "{skipped} events were skipped: their orders have changed meanwhile."
            ));
        }
        lines.join("\n")
    }
}
