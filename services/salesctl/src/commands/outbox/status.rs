//! `salesctl outbox status`.

use conf::Conf;
use serde::Serialize;
use store::DatabaseSettings;
use store::outbox::{self, LiveRelay, TopicDepth};

use super::connect;
use crate::failure::Failure;
use crate::output;

#[derive(Conf)]
pub(super) struct Status {
    #[conf(flatten)]
    database: DatabaseSettings,

    /// Prints JSON
    #[conf(long)]
    json: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    waiting: Count,
    deferred: i64,
    oldest_seconds: Option<f64>,
    oldest_claimable_seconds: Option<f64>,
    topics: Vec<Topic>,
    dead_letters: Count,
    relays_alive: usize,
    relays: Vec<Relay>,
    unheld_shards: i64,
}

/// A bounded count, so that a large backlog takes no longer.
#[derive(Serialize)]
struct Count {
    count: i64,
    /// `false` if `count` is a lower bound.
    exact: bool,
    /// Estimate from the statistics of the table, if the count is not exact.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Topic {
    topic: String,
    count: i64,
    deferred: i64,
    oldest_seconds: f64,
    oldest_claimable_seconds: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relay {
    relay: String,
    shards: i64,
    lease_remaining_seconds: f64,
}

impl Status {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let status = outbox::status(&mut *connect(&self.database).await?).await?;
        output::print(self.json, &Report::from(status), Report::text)
    }
}

impl From<outbox::Status> for Report {
    fn from(status: outbox::Status) -> Self {
        let count = status.topics.iter().map(|topic| topic.events).sum();
        let oldest = |age: fn(&TopicDepth) -> Option<f64>| {
            status.topics.iter().filter_map(age).max_by(f64::total_cmp).map(rounded)
        };
        Self {
            waiting: Count {
                count,
                exact: status.complete,
                estimate: (!status.complete).then_some(status.estimate.max(count)),
            },
            deferred: status.topics.iter().map(|topic| topic.deferred).sum(),
            oldest_seconds: oldest(|topic| Some(topic.oldest_age)),
            oldest_claimable_seconds: oldest(|topic| topic.oldest_claimable_age),
            topics: status.topics.into_iter().map(Topic::from).collect(),
            dead_letters: Count {
                count: status.dead_letters,
                exact: status.dead_letters_complete,
                estimate: None,
            },
            relays_alive: status.relays.len(),
            relays: status.relays.into_iter().map(Relay::from).collect(),
            unheld_shards: status.unheld_shards,
        }
    }
}

impl From<TopicDepth> for Topic {
    fn from(depth: TopicDepth) -> Self {
        Self {
            topic: depth.topic,
            count: depth.events,
            deferred: depth.deferred,
            oldest_seconds: rounded(depth.oldest_age),
            oldest_claimable_seconds: depth.oldest_claimable_age.map(rounded),
        }
    }
}

impl From<LiveRelay> for Relay {
    fn from(relay: LiveRelay) -> Self {
        Self {
            relay: relay.id.to_string(),
            shards: relay.shards,
            lease_remaining_seconds: rounded(relay.lease_remaining),
        }
    }
}

/// To the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl Report {
    fn text(&self) -> String {
        let mut lines = vec![
            format!("events waiting         {}", self.waiting.text()),
            format!("deferred               {}", self.deferred),
            format!("oldest                 {}", age(self.oldest_seconds)),
            format!("oldest claimable       {}", age(self.oldest_claimable_seconds)),
            format!("dead letters waiting   {}", self.dead_letters.text()),
            format!("relays alive           {}", self.relays_alive),
            format!("shards without relay   {}", self.unheld_shards),
        ];
        if let Some(estimate) = self.waiting.estimate {
            lines.push(format!(
                "\nOnly the oldest events of each shard were counted; the table statistics estimate {estimate}."
            ));
        }
        if !self.topics.is_empty() {
            lines.push(format!(
                "\n{:>9} {:>9} {:>12} {:>12}  topic",
                "waiting", "deferred", "oldest", "claimable"
            ));
        }
        lines.extend(self.topics.iter().map(|topic| {
            let (oldest, claimable) = (Some(topic.oldest_seconds), topic.oldest_claimable_seconds);
            format!(
                "{:>9} {:>9} {:>12} {:>12}  {}",
                topic.count,
                topic.deferred,
                age(oldest),
                age(claimable),
                topic.topic
            )
        }));
        if !self.relays.is_empty() {
            lines.push(format!("\n{:>9} {:>12}  relay", "shards", "lease left"));
        }
        lines.extend(self.relays.iter().map(|Relay { relay, shards, lease_remaining_seconds }| {
            format!("{shards:>9} {:>12}  {relay}", age(Some(*lease_remaining_seconds)))
        }));
        lines.join("\n")
    }
}

impl Count {
    fn text(&self) -> String {
        if self.exact { self.count.to_string() } else { format!("at least {}", self.count) }
    }
}

fn age(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.1} s"))
}
