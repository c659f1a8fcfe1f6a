//! Counts and reads dead letters.

use std::collections::BTreeMap;

use messaging::reader::{OffsetRange, ReadError, TopicReader};
use messaging::redrive::{self, Filter, Letter};
use messaging::{KafkaSettings, Record};
use serde::Serialize;

use super::waits;

/// Maximum number of records of one topic that are read to count their classes.
pub const MAX_RECORDS_READ: u64 = 100_000;

/// The dead letters of a topic, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// The topic.
    pub topic: String,
    /// Records that were neither redriven nor discarded; `None` for announcements, which wait for
    /// no operator.
    pub waiting: Option<u64>,
    /// All records in the topic.
    pub kept: u64,
    /// Waiting records by error class.
    pub classes: BTreeMap<String, u64>,
    /// `false` if only the oldest records were read to count the classes.
    pub exact: bool,
}

/// A record of a dead letter topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The record.
    pub record: Record,
    /// Whether it waits: it was not redriven, discarded, or moved to the end of the topic.
    pub waiting: bool,
}

/// Which records of a topic are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Only these.
    pub filter: Filter,
    /// Only this partition.
    pub partition: Option<i32>,
    /// From this offset, whether or not the record waits.
    pub offset: Option<i64>,
    /// Also those that do not wait.
    pub all: bool,
    /// Maximum number of records that are returned.
    pub limit: usize,
    /// Maximum number of records that are read to find them.
    pub most_read: u64,
}

/// Records of a dead letter topic, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letters {
    /// The records.
    pub found: Vec<Found>,
    /// The records that were read and wait, by error class, whatever the filter.
    pub classes: BTreeMap<String, u64>,
    /// Whether all selected ranges were read to their ends.
    pub complete: bool,
    /// Number of records in the topic that wait.
    pub waiting: u64,
}

/// Counts the records of a dead letter topic, also by class.
pub async fn counts(kafka: &KafkaSettings, topic: String) -> Result<Counts, ReadError> {
    let mut reader = TopicReader::new(kafka, &topic, &redrive::group_of(&topic))?;
    let (kept, waiting) = ranges(&reader).await?;
    reader.begin(&waiting)?;
    let (mut classes, mut read) = (BTreeMap::new(), 0);
    while read < MAX_RECORDS_READ
        && let Some(record) = reader.next().await?
    {
        read += 1;
        count_class(&mut classes, &record);
    }
    let exact = read < MAX_RECORDS_READ;
    Ok(Counts { classes, exact, ..sizes_of(topic, &kept, &waiting) })
}

/// Counts the records of a dead letter topic, from its offsets alone.
pub async fn sizes(kafka: &KafkaSettings, topic: String) -> Result<Counts, ReadError> {
    let reader = TopicReader::new(kafka, &topic, &redrive::group_of(&topic))?;
    let (kept, waiting) = ranges(&reader).await?;
    Ok(sizes_of(topic, &kept, &waiting))
}

fn sizes_of(topic: String, kept: &[OffsetRange], waiting: &[OffsetRange]) -> Counts {
    let waiting = waits(&topic).then(|| count(waiting));
    Counts { topic, waiting, kept: count(kept), classes: BTreeMap::new(), exact: false }
}

/// Reads dead letters, and changes nothing.
pub async fn letters(
    kafka: &KafkaSettings,
    topic: &str,
    reading: &Reading,
) -> Result<Letters, ReadError> {
    let mut reader = TopicReader::new(kafka, topic, &redrive::group_of(topic))?;
    let (kept, waiting) = ranges(&reader).await?;
    let mut selected = match reading.offset {
        Some(offset) => kept.iter().map(|range| from(*range, offset)).collect(),
        None if reading.all => kept,
        None => waiting.clone(),
    };
    selected.retain(|range| reading.partition.is_none_or(|it| it == range.partition));
    let all = count(&selected);
    reader.begin(&selected)?;
    let mut letters = Letters {
        found: Vec::new(),
        classes: BTreeMap::new(),
        complete: true,
        waiting: count(&waiting),
    };
    let mut read = 0;
    while letters.found.len() < reading.limit && read < reading.most_read {
        let Some(record) = reader.next().await? else { return Ok(letters) };
        read += 1;
        let waiting = redrive::waits(&waiting, &record);
        if waiting {
            count_class(&mut letters.classes, &record);
        }
        if reading.filter.includes(Letter(&record)) {
            letters.found.push(Found { record, waiting });
        }
    }
    letters.complete = read >= all;
    Ok(letters)
}

/// The record at this offset of a dead letter topic, if the topic still has it.
pub async fn find(
    kafka: &KafkaSettings,
    topic: &str,
    partition: i32,
    offset: i64,
) -> Result<Option<Found>, ReadError> {
    let reading = Reading {
        filter: Filter { record: Some((partition, offset)), ..Filter::default() },
        partition: Some(partition),
        offset: Some(offset),
        all: true,
        limit: 1,
        most_read: 1,
    };
    Ok(letters(kafka, topic, &reading).await?.found.pop())
}

/// The records that the topic has, and those that wait.
async fn ranges(reader: &TopicReader) -> Result<(Vec<OffsetRange>, Vec<OffsetRange>), ReadError> {
    let kept = reader.kept().await?;
    let waiting = redrive::waiting(&kept, reader).await?;
    Ok((kept, waiting))
}

fn from(range: OffsetRange, offset: i64) -> OffsetRange {
    OffsetRange { from: offset.clamp(range.from, range.to), ..range }
}

fn count(ranges: &[OffsetRange]) -> u64 {
    ranges.iter().map(OffsetRange::count).sum()
}

/// An announcement has no class.
fn count_class(classes: &mut BTreeMap<String, u64>, record: &Record) {
    if let Some(class) = Letter(record).class() {
        *classes.entry(class.to_owned()).or_default() += 1;
    }
}
