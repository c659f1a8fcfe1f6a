//! `salesctl outbox redrive`.

use conf::Conf;
use domain::OrderId;
use serde::Serialize;
use store::DatabaseSettings;
use store::outbox::dead_letters::{self, DeadLetterFilter, RedriveGroup, RedrivePlan};

use super::connect;
use crate::commands::redrive::RedriveSettings;
use crate::failure::Failure;
use crate::output;
use crate::progress;
use crate::throttle::Throttle;

/// Maximum number of events that one statement puts back.
const BATCH: u32 = 500;

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

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    /// Dead letters that could be put back before the redrive.
    eligible: i64,
    too_often: i64,
    /// `false` if only the oldest dead letters were counted.
    exact: bool,
    redriven: u64,
    groups: Vec<Group>,
    #[serde(skip)]
    would_redrive: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    topic: String,
    reason: String,
    count: i64,
    too_often: bool,
}

impl Redrive {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let redrive = dead_letters::Redrive {
            filter: DeadLetterFilter { id: self.id, topic: self.topic.clone(), order: self.order },
            max_redrives: i32::try_from(self.settings.max_redrives)?,
        };
        let plan = dead_letters::plan(&mut *connect(&self.database).await?, &redrive).await?;
        let newest = plan.newest;
        let mut report = Report::new(plan, self.settings.max);
        if self.settings.yes {
            report.dry_run = false;
            let result = self.put_back(&redrive, newest, &mut report).await;
            if let Err(error) = result {
                eprintln!(
                    "{} events were put back; run the redrive again to continue",
                    report.redriven
                );
                return Err(error);
            }
        }
        output::print(self.json, &report, Report::text)
    }

    async fn put_back(
        &self,
        redrive: &dead_letters::Redrive,
        newest: i64,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let mut connection = connect(&self.database).await?;
        let most = self.settings.max.unwrap_or(u64::MAX);
        let throttle = Throttle::start(self.settings.rate);
        let bar = progress::bar("redriving", report.would_redrive);
        while report.redriven < most {
            throttle.due(report.redriven).await;
            let limit = u64::from(throttle.step(BATCH)).min(most - report.redriven);
            let limit = i64::try_from(limit)?;
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
        let count = |too_often: bool| {
            let groups = plan.groups.iter().filter(|group| group.too_often == too_often);
            groups.map(|group| group.count).sum::<i64>()
        };
        let (eligible, too_often) = (count(false), count(true));
        Self {
            dry_run: true,
            eligible,
            too_often,
            exact: plan.complete,
            redriven: 0,
            groups: plan.groups.into_iter().map(Group::from).collect(),
            would_redrive: u64::try_from(eligible).unwrap_or(0).min(max.unwrap_or(u64::MAX)),
        }
    }

    fn text(&self) -> String {
        let mut lines = Vec::new();
        if !self.groups.is_empty() {
            lines.push(format!("{:>9}  topic, reason", "count"));
        }
        lines.extend(self.groups.iter().map(|Group { topic, reason, count, too_often }| {
            let left = if *too_often { " (put back too often; skipped)" } else { "" };
            format!("{count:>9}  {topic}{left}\n{:>9}  {reason}", "")
        }));
        if !self.exact {
            lines.push("Only the oldest dead letters were counted; there are more.".to_owned());
        }
        lines.push(if self.dry_run {
            format!(
                "{} events would be put back, {} skipped. Nothing was changed: use --yes to apply.",
                self.would_redrive, self.too_often
            )
        } else {
            format!("{} events were put back, {} skipped.", self.redriven, self.too_often)
        });
        lines.join("\n")
    }
}

impl From<RedriveGroup> for Group {
    fn from(group: RedriveGroup) -> Self {
        let RedriveGroup { topic, reason, too_often, count } = group;
        Self { topic, reason, count, too_often }
    }
}
