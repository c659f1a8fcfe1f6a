//! `salesctl outbox status`.

use std::process::ExitCode;

use conf::Conf;
use serde_json::{Value, json};
use store::DatabaseSettings;
use store::outbox::{self, TopicDepth};
use store::shards::Holder;

use super::connect;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Conf)]
pub(super) struct Status {
    #[conf(flatten)]
    database: DatabaseSettings,

    #[conf(flatten)]
    output: Output,
}

/// The status with the sums of all topics.
struct Report {
    status: outbox::Status,
    waiting: i64,
    deferred: i64,
    oldest: Option<f64>,
    oldest_claimable: Option<f64>,
}

impl Status {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let status = outbox::status(&mut *connect(&self.database).await?).await?;
        let report = Report::new(status);
        self.output.print(&report.json(), || report.text())
    }
}

impl Report {
    fn new(status: outbox::Status) -> Self {
        let topics = status.topics.iter();
        let oldest = |age: fn(&TopicDepth) -> Option<f64>| {
            topics.clone().filter_map(age).max_by(f64::total_cmp)
        };
        Self {
            waiting: topics.clone().map(|topic| topic.events).sum(),
            deferred: topics.clone().map(|topic| topic.deferred).sum(),
            oldest: oldest(|topic| Some(topic.oldest_age)),
            oldest_claimable: oldest(|topic| topic.oldest_claimable_age),
            status,
        }
    }

    /// An estimate from the statistics of the table, if the events were not all counted.
    fn estimate(&self) -> Option<i64> {
        (!self.status.complete).then_some(self.status.estimate.max(self.waiting))
    }

    /// The counts are bounded, so that a large backlog takes no longer: without `exact`, a count is
    /// a lower bound.
    fn json(&self) -> Value {
        let Self { status, waiting, deferred, oldest, oldest_claimable } = self;
        let topic = |topic: &TopicDepth| {
            json!({
                "topic": topic.topic,
                "count": topic.events,
                "deferred": topic.deferred,
                "oldestSeconds": rounded(topic.oldest_age),
                "oldestClaimableSeconds": topic.oldest_claimable_age.map(rounded),
            })
        };
        let relay = |Holder { id, shards, lease_remaining }: &Holder| {
            let lease_remaining = rounded(*lease_remaining);
            json!({ "relay": id, "shards": shards, "leaseRemainingSeconds": lease_remaining })
        };
        let mut waiting = json!({ "count": waiting, "exact": status.complete });
        if let Some(estimate) = self.estimate() {
            waiting["estimate"] = estimate.into();
        }
        json!({
            "waiting": waiting,
            "deferred": deferred,
            "oldestSeconds": oldest.map(rounded),
            "oldestClaimableSeconds": oldest_claimable.map(rounded),
            "topics": status.topics.iter().map(topic).collect::<Vec<_>>(),
            "deadLetters": { "count": status.dead_letters, "exact": status.dead_letters_complete },
            "relaysAlive": status.relays.len(),
            "relays": status.relays.iter().map(relay).collect::<Vec<_>>(),
            "unheldShards": status.unheld_shards,
        })
    }

    fn text(&self) -> String {
        let Self { status, .. } = self;
        let dead_letters = bounded(status.dead_letters, status.dead_letters_complete);
        let mut lines = vec![
            format!("events waiting         {}", bounded(self.waiting, status.complete)),
            format!("deferred               {}", self.deferred),
            format!("oldest                 {}", age(self.oldest)),
            format!("oldest claimable       {}", age(self.oldest_claimable)),
            format!("dead letters waiting   {dead_letters}"),
            format!("relays alive           {}", status.relays.len()),
            format!("shards without relay   {}", status.unheld_shards),
        ];
        if let Some(estimate) = self.estimate() {
            lines.push(format!(
                "\nOnly the oldest events of each shard were counted; the table statistics estimate {estimate}."
            ));
        }
        if !status.topics.is_empty() {
            lines.push("\n  waiting  deferred       oldest    claimable  topic".to_owned());
        }
        lines.extend(status.topics.iter().map(|topic| {
            let (oldest, claimable) =
                (age(Some(topic.oldest_age)), age(topic.oldest_claimable_age));
            let TopicDepth { topic, events, deferred, .. } = topic;
            format!("{events:>9} {deferred:>9} {oldest:>12} {claimable:>12}  {topic}")
        }));
        if !status.relays.is_empty() {
            lines.push("\n   shards   lease left  relay".to_owned());
        }
        lines.extend(status.relays.iter().map(|Holder { id, shards, lease_remaining }| {
            format!("{shards:>9} {:>12}  {id}", age(Some(*lease_remaining)))
        }));
        lines.join("\n")
    }
}

/// To the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn bounded(count: i64, is_exact: bool) -> String {
    if is_exact { count.to_string() } else { format!("at least {count}") }
}

fn age(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"))
}
