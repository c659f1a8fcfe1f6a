//! The records of topics, and the progress of the consumer groups that read them.

use std::collections::HashMap;
use std::time::Duration;

use chrono::Utc;
use contracts::topics::Names;
use messaging::KafkaSettings;
use messaging::reader::{OffsetRange, ReadError, TopicReader};
use serde::Serialize;

use crate::OperationError;

/// The state of a topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TopicStatus {
    /// The topic.
    pub topic: String,
    /// Number of partitions; 0 if the topic does not exist.
    pub partitions: usize,
    /// Smallest number of replicas of a partition.
    pub replicas: usize,
    /// Number of records that the topic keeps.
    pub records: u64,
    /// The groups that read it.
    pub groups: Vec<GroupStatus>,
}

/// The progress of a group in a topic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupStatus {
    /// The group.
    pub group: String,
    /// The committed offsets of all partitions, summed.
    pub committed: i64,
    /// Records that the group has not processed.
    pub lag: u64,
    /// Age of the oldest of them, by its timestamp.
    pub oldest_unread_seconds: Option<f64>,
}

/// The topics of the system, and the other topics of the cluster if `all` is set. Uses one client for
/// each of the two groups.
pub async fn status(
    kafka: &KafkaSettings,
    names: &Names,
    all: bool,
) -> Result<Vec<TopicStatus>, OperationError> {
    let mut readers = [
        TopicReader::new(kafka, &names.order_events, &names.delivery_group)?,
        TopicReader::new(kafka, &names.delivery_events, &names.status_group)?,
    ];
    let known = readers[0].topics().await?;
    let mut topics: Vec<String> = names.specs().into_iter().map(|topic| topic.name).collect();
    if all {
        let all = known.iter().map(|topic| topic.name.clone());
        let others: Vec<String> = all.filter(|topic| !topics.contains(topic)).collect();
        topics.extend(others);
    }
    let replicas: HashMap<_, _> =
        known.into_iter().map(|topic| (topic.name, topic.replicas)).collect();
    let mut listed = Vec::with_capacity(topics.len());
    for topic in topics {
        let replicas = replicas.get(&topic).copied().unwrap_or_default();
        listed.push(topic_status(&mut readers, names, topic, replicas).await?);
    }
    Ok(listed)
}

async fn topic_status(
    readers: &mut [TopicReader; 2],
    names: &Names,
    topic: String,
    replicas: usize,
) -> Result<TopicStatus, OperationError> {
    let ranges = match readers[0].of(&topic).kept().await {
        Ok(ranges) => ranges,
        Err(ReadError::UnknownTopic(topic)) => {
            return Ok(TopicStatus {
                topic,
                partitions: 0,
                replicas,
                records: 0,
                groups: Vec::new(),
            });
        }
        Err(error) => return Err(error.into()),
    };
    let read = [
        (&names.order_events, &names.delivery_group),
        (&names.delivery_events, &names.status_group),
    ];
    let mut groups = Vec::new();
    for ((read, group), reader) in read.into_iter().zip(readers) {
        if *read == topic {
            groups.push(group_status(reader, group, &ranges).await?);
        }
    }
    let records = ranges.iter().map(OffsetRange::count).sum();
    Ok(TopicStatus { topic, partitions: ranges.len(), replicas, records, groups })
}

async fn group_status(
    reader: &mut TopicReader,
    group: &str,
    ranges: &[OffsetRange],
) -> Result<GroupStatus, OperationError> {
    let partitions = ranges.iter().map(|range| range.partition);
    let positions = reader.positions(partitions).await?;
    let committed: HashMap<i32, i64> =
        positions.into_iter().map(|position| (position.partition, position.next)).collect();
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
    reader.begin(&next)?;
    while let Some(record) = reader.next().await? {
        oldest = oldest.into_iter().chain(record.timestamp_ms).min();
    }
    let age = |at| {
        let millis = u64::try_from(Utc::now().timestamp_millis() - at).unwrap_or_default();
        Duration::from_millis(millis).as_secs_f64()
    };
    Ok(GroupStatus {
        group: group.to_owned(),
        committed: committed.values().sum(),
        lag: unread.iter().map(OffsetRange::count).sum(),
        oldest_unread_seconds: oldest.map(age),
    })
}
