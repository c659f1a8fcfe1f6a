//! `salesctl outbox redrive`.

use std::process::ExitCode;

use conf::Conf;
use domain::OrderId;
use operations::Throttle;
use operations::progress;
use serde_json::{Value, json};
use store::outbox::dead_letters::{self, DeadLetterFilter, RedriveGroup, RedrivePlan};
use store::{Database, DatabaseSettings};

use super::connect;
use crate::commands::redrive::RedriveSettings;
use crate::failure::Failure;
use crate::output::Output;
use crate::recorded::Operator;

/// Maximum number of events that one statement puts back.
const BATCH: usize = 500;

#[derive(Conf)]
pub(super) struct Redrive {
    #[conf(flatten)]
    database: DatabaseSettings,

    #[conf(flatten)]
    settings: RedriveSettings,

    /// Only this dead letter
    #[conf(long)]
    id: Option<i64>,

    /// Only dead letters for this topic
    #[conf(long)]
    topic: Option<String>,

    /// Only dead letters of this order
    #[conf(long)]
    order: Option<OrderId>,

    #[conf(flatten)]
    operator: Operator,

    #[conf(flatten)]
    output: Output,
}

/// What was or would be put back.
struct Report {
    dry_run: bool,
    plan: RedrivePlan,
    would_redrive: u64,
    redriven: u64,
}

impl Redrive {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let redrive = dead_letters::Redrive {
            filter: DeadLetterFilter { id: self.id, topic: self.topic.clone(), order: self.order },
            max_redrives: i32::try_from(self.settings.max_redrives)?,
        };
        let plan = dead_letters::plan(&mut *connect(&self.database).await?, &redrive).await?;
        let mut report = Report::new(plan, self.settings.max);
        if self.settings.yes {
            report.dry_run = false;
            let parameters = json!({
                "id": self.id, "topic": self.topic, "order": self.order.map(OrderId::as_uuid),
                "max": self.settings.max, "maxRedrives": self.settings.max_redrives,
            });
            let put_back = async || {
                let result = self.put_back(&redrive, &mut report).await;
                let redriven = report.redriven;
                result.map(|()| redriven).inspect_err(|_| {
                    eprintln!("{redriven} events were put back; run the redrive again to continue");
                })
            };
            let database = Database::new("salesctl", &self.database.with_pool_size(1));
            let describe = |redriven: &u64| format!("{redriven} events were put back");
            self.operator
                .recorded(&database, "redrive outbox", &parameters, put_back, describe)
                .await?;
        }
        self.output.print(&report.json(), || report.text())
    }

    async fn put_back(
        &self,
        redrive: &dead_letters::Redrive,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let mut connection = connect(&self.database).await?;
        let most = self.settings.max.unwrap_or(u64::MAX);
        let throttle = Throttle::start(self.settings.rate);
        let bar = progress::bar("redriving", report.would_redrive);
        while report.redriven < most {
            throttle.due(report.redriven).await;
            let limit = i64::try_from((throttle.step(BATCH) as u64).min(most - report.redriven))?;
            let newest = report.plan.newest;
            let done = dead_letters::redrive(&mut connection, redrive, newest, limit).await?;
            if done == 0 {
                break;
            }
            report.redriven += done as u64;
            bar.set_position(report.redriven);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

impl Report {
    fn new(plan: RedrivePlan, max: Option<u64>) -> Self {
        let eligible = u64::try_from(count(&plan, false)).unwrap_or(0);
        let would_redrive = eligible.min(max.unwrap_or(u64::MAX));
        Self { dry_run: true, plan, would_redrive, redriven: 0 }
    }

    /// `eligible` is the number of dead letters that could be put back before the redrive. Without
    /// `exact`, only the oldest dead letters were counted.
    fn json(&self) -> Value {
        let group = |group: &RedriveGroup| {
            let RedriveGroup { topic, reason, too_often, count } = group;
            json!({ "topic": topic, "reason": reason, "count": count, "tooOften": too_often })
        };
        json!({
            "dryRun": self.dry_run,
            "eligible": count(&self.plan, false),
            "tooOften": count(&self.plan, true),
            "exact": self.plan.complete,
            "redriven": self.redriven,
            "groups": self.plan.groups.iter().map(group).collect::<Vec<_>>(),
        })
    }

    fn text(&self) -> String {
        let Self { plan, would_redrive, redriven, .. } = self;
        let mut lines = Vec::new();
        if !plan.groups.is_empty() {
            lines.push(format!("{:>9}  topic, reason", "count"));
        }
        lines.extend(plan.groups.iter().map(|RedriveGroup { topic, reason, too_often, count }| {
            let left = if *too_often { " (put back too often; skipped)" } else { "" };
            format!("{count:>9}  {topic}{left}\n{:>9}  {reason}", "")
        }));
        if !plan.complete {
            lines.push("Only the oldest dead letters were counted; there are more.".to_owned());
        }
        let skipped = count(plan, true);
        lines.push(if self.dry_run {
            format!(
                "{would_redrive} events would be put back, {skipped} skipped. Nothing was changed: use --yes to apply."
            )
        } else {
            format!("{redriven} events were put back, {skipped} skipped.")
        });
        lines.join("\n")
    }
}

/// Number of dead letters that were redriven too often, or of the others.
fn count(plan: &RedrivePlan, too_often: bool) -> i64 {
    let groups = plan.groups.iter().filter(|group| group.too_often == too_often);
    groups.map(|group| group.count).sum()
}
