//! Reads a bounded number of records of a topic, from a place, or those of one order.

use chrono::{DateTime, Utc};
use domain::OrderId;
use messaging::partitioner::partition_of;
use messaging::reader::{OffsetRange, ReadError, TopicReader};
use messaging::{KafkaSettings, Record};

/// The client requires a group id even for reads that commit nothing.
const NO_GROUP: &str = "topic-reader";

/// Where a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the oldest record.
    Beginning,
    /// At this offset.
    Offset(i64),
    /// With the first record that was written at or after this time.
    Time(DateTime<Utc>),
}

/// Which records are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Only this partition; that of the order, if there is one.
    pub partition: Option<i32>,
    /// Where it begins.
    pub from: From,
    /// Only the records of this order.
    pub order: Option<OrderId>,
    /// Maximum number of records that are returned.
    pub limit: usize,
    /// Maximum number of records that are read to find them.
    pub most_read: u64,
}

/// Records of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records {
    /// The records; within a partition, the oldest first.
    pub found: Vec<Record>,
    /// The ranges that the topic has, by partition.
    pub kept: Vec<OffsetRange>,
    /// The partitions that were read, each with the next offset and its end.
    pub reached: Vec<OffsetRange>,
}

/// Reads records, and changes nothing.
pub async fn read(
    kafka: &KafkaSettings,
    topic: &str,
    reading: &Reading,
) -> Result<Records, ReadError> {
    let mut reader = TopicReader::new(kafka, topic, NO_GROUP)?;
    let mut kept = reader.kept().await?;
    kept.sort_unstable_by_key(|range| range.partition);
    let partitions = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    let key = reading.order.map(|order| order.to_string());
    let partition = match &key {
        Some(key) => Some(partition_of(key.as_bytes(), partitions)),
        None => reading.partition,
    };
    let mut selected = kept.clone();
    selected.retain(|range| partition.is_none_or(|it| it == range.partition));
    match reading.from {
        From::Beginning => {}
        From::Offset(offset) => {
            for range in &mut selected {
                range.from = offset.clamp(range.from, range.to);
            }
        }
        From::Time(at) => reader.skip_before(at.timestamp_millis(), &mut selected).await?,
    }
    reader.begin(&selected)?;
    let (mut records, mut read) = (Records { found: Vec::new(), kept, reached: selected }, 0);
    while records.found.len() < reading.limit && read < reading.most_read {
        let Some(record) = reader.next().await? else {
            for range in &mut records.reached {
                range.from = range.to;
            }
            break;
        };
        read += 1;
        if let Some(range) =
            records.reached.iter_mut().find(|range| range.partition == record.partition)
        {
            range.from = record.offset + 1;
        }
        if key.as_ref().is_none_or(|key| record.key.as_deref() == Some(key.as_bytes())) {
            records.found.push(record);
        }
    }
    Ok(records)
}

/// The record at this offset, if the topic still has it.
pub async fn find(
    kafka: &KafkaSettings,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<Record>, ReadError> {
    let reading = Reading {
        partition: Some(partition),
        from: From::Offset(offset),
        order: None,
        limit: 1,
        most_read: 1,
    };
    let found = read(kafka, topic, &reading).await?.found.pop();
    Ok(found.filter(|record| record.offset == offset))
}
