//! `salesctl topics list`: the records of the topics, and the lag of the consumer groups.

use std::collections::HashMap;
use std::process::ExitCode;

use chrono::Utc;
use conf::Conf;
use contracts::topics::Names;
use messaging::KafkaSettings;
use messaging::reader::{OffsetRange, ReadError, committed, kept, read};
use messaging::topic_admin;
use serde::Serialize;

use super::TopicSettings;
use crate::failure::Failure;
use crate::output::Output;

#[derive(Conf)]
pub(super) struct List {
    #[conf(flatten)]
    kafka: KafkaSettings,

    #[conf(flatten)]
    names: TopicSettings,

    /// Also lists the other topics of the cluster
    #[conf(long)]
    all: bool,

    #[conf(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Listed {
    topic: String,
    /// 0 if the topic does not exist.
    partitions: usize,
    /// Smallest number of replicas of a partition.
    replicas: usize,
    records: u64,
    groups: Vec<Group>,
}

/// The progress of a group in a topic.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    group: String,
    /// The committed offsets of all partitions, summed.
    committed: i64,
    /// Records that the group has not processed.
    lag: u64,
    oldest_unread_seconds: Option<f64>,
}

impl List {
    pub(super) async fn run(self) -> Result<ExitCode, Failure> {
        let names = Names::from(self.names);
        let known = topic_admin::list(&self.kafka).await?;
        let mut topics: Vec<String> = names.specs().into_iter().map(|topic| topic.name).collect();
        if self.all {
            let all = known.iter().map(|topic| topic.name.clone());
            let others: Vec<String> = all.filter(|topic| !topics.contains(topic)).collect();
            topics.extend(others);
        }
        let replicas: HashMap<_, _> =
            known.into_iter().map(|topic| (topic.name, topic.replicas)).collect();
        let mut listed = Vec::with_capacity(topics.len());
        for topic in topics {
            let replicas = replicas.get(&topic).copied().unwrap_or_default();
            listed.push(read_topic(&self.kafka, &names, topic, replicas).await?);
        }
        self.output.print(&listed, || text(&listed))
    }
}

async fn read_topic(
    kafka: &KafkaSettings,
    names: &Names,
    topic: String,
    replicas: usize,
) -> Result<Listed, Failure> {
    let ranges = match kept(kafka, &topic).await {
        Ok(ranges) => ranges,
        Err(ReadError::UnknownTopic(topic)) => {
            return Ok(Listed { topic, partitions: 0, replicas, records: 0, groups: Vec::new() });
        }
        Err(error) => return Err(error.into()),
    };
    let readers = [
        (&names.order_events, &names.delivery_group),
        (&names.delivery_events, &names.status_group),
    ];
    let mut groups = Vec::new();
    for (_, group) in readers.into_iter().filter(|(read, _)| **read == topic) {
        groups.push(read_group(kafka, &topic, group, &ranges).await?);
    }
    let records = ranges.iter().map(OffsetRange::count).sum();
    Ok(Listed { topic, partitions: ranges.len(), replicas, records, groups })
}

async fn read_group(
    kafka: &KafkaSettings,
    topic: &str,
    group: &str,
    ranges: &[OffsetRange],
) -> Result<Group, Failure> {
    let partitions = ranges.iter().map(|range| range.partition);
    let committed = committed(kafka, topic, group, partitions).await?;
    // A group that has committed nothing begins with the first record.
    let unread = |range: &OffsetRange| {
        let done = committed.get(&range.partition).copied().unwrap_or_default();
        OffsetRange { from: done.max(range.from), ..*range }
    };
    let unread: Vec<OffsetRange> =
        ranges.iter().map(unread).filter(|range| range.count() > 0).collect();
    let next: Vec<OffsetRange> =
        unread.iter().map(|range| OffsetRange { to: range.from + 1, ..*range }).collect();
    let mut oldest = None;
    read(kafka, topic, &next, |record| {
        oldest = oldest.into_iter().chain(record.timestamp_ms).min();
    })
    .await?;
    let age = |at| {
        std::time::Duration::from_millis(
            u64::try_from(Utc::now().timestamp_millis() - at).unwrap_or_default(),
        )
    };
    Ok(Group {
        group: group.to_owned(),
        committed: committed.values().sum(),
        lag: unread.iter().map(OffsetRange::count).sum(),
        oldest_unread_seconds: oldest.map(|at| age(at).as_secs_f64()),
    })
}

fn text(listed: &[Listed]) -> String {
    let mut lines = vec![format!("partitions  replicas  {:>10}  topic", "records")];
    lines.extend(listed.iter().map(|Listed { topic, partitions, replicas, records, .. }| {
        let missing = if *partitions == 0 { "  (missing)" } else { "" };
        format!("{partitions:>10}  {replicas:>8}  {records:>10}  {topic}{missing}")
    }));
    lines.push(format!("\n{:>10}  {:>10}  {:>13}  group", "committed", "lag", "oldest unread"));
    for listed in listed {
        lines.extend(listed.groups.iter().map(|it| {
            let Group { group, committed, lag, oldest_unread_seconds } = it;
            let oldest = oldest_unread_seconds.map_or("-".to_owned(), |age| format!("{age:.1} s"));
            format!("{committed:>10}  {lag:>10}  {oldest:>13}  {group} of {}", listed.topic)
        }));
    }
    lines.join("\n")
}
