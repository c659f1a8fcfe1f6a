//! Redrives dead letters: sends them back to the topic where they failed. Or discards them, in the
//! same way, but without sending them.
//!
//! A dead letter topic is processed like a queue. The progress of redrives is the committed offset
//! of a separate group, and every record before it has been sent back or discarded. A record that a
//! redrive leaves, because its class is not selected or because it came back too often, must not be
//! lost before that offset: it is written to the end of the topic again, unchanged. So there is one
//! invariant: *a record that was neither sent back nor discarded is at or after the committed
//! offset*. Records after the last selected one are not moved, and a redrive that selects nothing
//! changes nothing.
//!
//! An offset is committed after all records before it are acknowledged. A redrive that is killed
//! can therefore send a record again, or leave one twice, but loses none. Two concurrent redrives
//! of one topic would send everything twice. So each redrive commits its own id with the offset,
//! and stops when it finds another one.

mod batch;
mod letter;
mod selection;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::reader::{OffsetRange, Position, ReadError, TopicReader};
use crate::{KafkaSettings, PublishError, Publisher, Record};
use batch::{Batch, Fate};
pub use batch::{Refusal, Step};
pub use letter::Letter;
use selection::Choice;
pub use selection::{Action, Filter, Selection, Tally};

/// The class in a tally for records without one.
const NO_CLASS: &str = "none";

/// Why a redrive stopped. Its work until then remains, and the next redrive continues from there.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The dead letter topic could not be read, or the progress not committed.
    #[error("cannot read the dead letter topic")]
    Read(#[from] ReadError),
    /// A record could not be sent, and the record is not the cause.
    #[error("cannot send a dead letter")]
    Send(#[source] PublishError),
    /// Another redrive has begun in the meantime.
    #[error("another redrive of {0} is under way")]
    Overtaken(String),
}

/// What a redrive or a discard would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Number of records that it would send back or discard.
    pub selected: u64,
    /// All pending records, by error class.
    pub classes: BTreeMap<String, Tally>,
    /// The time of the oldest dead letter in partitions without a committed offset. Either no
    /// redrive has run there, or its offset has expired. In the latter case the redrive would send
    /// some records again.
    pub oldest_without_offset: Option<DateTime<Utc>>,
    /// Where the records end that were counted, by partition, for [`Selection::until`].
    pub until: Vec<(i32, i64)>,
    /// The ranges that were read.
    read: Vec<OffsetRange>,
    /// The ranges up to the last of them.
    ranges: Vec<OffsetRange>,
}

/// A redrive of one dead letter topic, or a discard.
pub struct Redrive {
    topic: String,
    selection: Selection,
    reader: TopicReader,
    publisher: Publisher,
    /// Distinguishes this redrive's commits from those of others.
    run_id: String,
    /// The committed positions when the plan was made.
    planned_from: Vec<Position>,
    /// The position of the next batch, in each partition that is read.
    positions: Vec<Position>,
}

/// The group whose committed offsets are the progress of the redrives of a dead letter topic.
pub fn group_of(dead_letter_topic: &str) -> String {
    format!("{dead_letter_topic}.redrive")
}

/// Whether a topic is a dead letter topic of any group.
pub fn is_dead_letter_topic(topic: &str) -> bool {
    topic.strip_suffix(".dlq").is_some_and(|rest| rest.contains('.'))
}

/// Whether a topic is a dead letter topic of any group that reads `origin`.
pub fn is_dead_letter_topic_of(topic: &str, origin: &str) -> bool {
    let group =
        topic.strip_prefix(origin).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".dlq"));
    group.is_some_and(|group| !group.is_empty())
}

/// The ranges of a dead letter topic that were neither sent back nor discarded, within `kept`. `reader` must
/// read for [`group_of`] the topic.
pub async fn waiting(
    kept: &[OffsetRange],
    reader: &TopicReader,
) -> Result<Vec<OffsetRange>, ReadError> {
    let positions = reader.positions(kept.iter().map(|range| range.partition)).await?;
    Ok(after(kept, &positions))
}

/// Whether a dead letter is in these [`waiting`] ranges.
pub fn waits(waiting: &[OffsetRange], letter: &Record) -> bool {
    let of_partition = |range: &&OffsetRange| range.partition == letter.partition;
    waiting.iter().filter(of_partition).any(|range| letter.offset >= range.from)
}

/// Ignores an offset that is not in the topic: it has expired, or the topic was recreated.
fn after(kept: &[OffsetRange], positions: &[Position]) -> Vec<OffsetRange> {
    let from = |range: &OffsetRange| {
        let position = positions.iter().find(|position| position.partition == range.partition);
        position.map(|it| it.next).filter(|next| (range.from..=range.to).contains(next))
    };
    kept.iter()
        .map(|range| OffsetRange { from: from(range).unwrap_or(range.from), ..*range })
        .collect()
}

/// The part of a range below the end of its partition.
fn up_to(range: OffsetRange, ends: &[(i32, i64)]) -> OffsetRange {
    let end = ends.iter().find(|(partition, _)| *partition == range.partition);
    let to = end.map_or(range.from, |(_, end)| *end);
    OffsetRange { to: to.clamp(range.from, range.to), ..range }
}

impl Redrive {
    /// A redrive that has done nothing yet.
    pub fn new(
        settings: &KafkaSettings,
        topic: &str,
        selection: Selection,
    ) -> Result<Self, ReadError> {
        let group = group_of(topic);
        Ok(Self {
            topic: topic.to_owned(),
            selection,
            reader: TopicReader::new(settings, topic, &group)?,
            publisher: Publisher::of_any_size(&group, topic, settings)?,
            run_id: Uuid::new_v4().to_string(),
            positions: Vec::new(),
            planned_from: Vec::new(),
        })
    }

    /// Reads all pending records, and changes nothing. Calls `seen` with the number of records read,
    /// and the total.
    pub async fn plan(&mut self, mut seen: impl FnMut(u64, u64)) -> Result<Plan, RedriveError> {
        let kept = self.reader.kept().await?;
        self.planned_from = self.reader.positions(kept.iter().map(|range| range.partition)).await?;
        let mut waiting = after(&kept, &self.planned_from);
        if let Some(until) = &self.selection.until {
            for range in &mut waiting {
                *range = up_to(*range, until);
            }
        }
        let all = waiting.iter().map(OffsetRange::count).sum();
        let until = waiting.iter().map(|range| (range.partition, range.to)).collect();
        let mut plan = Plan { until, read: waiting.clone(), ..Plan::default() };
        let mut read = 0;
        self.reader.begin(&waiting)?;
        while let Some(record) = self.reader.next().await? {
            if !self.planned_from.iter().any(|it| it.partition == record.partition) {
                plan.note_age(record.timestamp_ms);
            }
            let letter = Letter(&record);
            let choice = self.selection.choose(letter);
            let class = letter.class().unwrap_or(NO_CLASS).to_owned();
            plan.classes.entry(class).or_default().count(choice);
            let most = self.selection.most.unwrap_or(u64::MAX);
            if choice == Choice::Selected && plan.selected < most {
                plan.selected += 1;
                plan.include(record.partition, record.offset, &waiting);
            }
            read += 1;
            seen(read, all);
        }
        Ok(plan)
    }

    /// Begins the plan. From here on, a redrive that began before stops.
    pub async fn begin(&mut self, plan: &Plan) -> Result<(), RedriveError> {
        let position = |range: &OffsetRange| Position {
            partition: range.partition,
            next: range.from,
            metadata: self.run_id.clone(),
        };
        // A redrive that ran since the plan was made has sent some of it.
        let partitions = || plan.ranges.iter().map(|range| range.partition);
        let now = self.reader.positions(partitions()).await?;
        let then = self.planned_from.iter().filter(|it| partitions().any(|at| at == it.partition));
        if !now.iter().eq(then) {
            return Err(RedriveError::Overtaken(self.topic.clone()));
        }
        self.positions = plan.ranges.iter().map(position).collect();
        if !self.positions.is_empty() {
            self.reader.commit(&self.positions).await?;
        }
        self.reader.begin(&plan.ranges)?;
        Ok(())
    }

    /// Sends back or discards at most `most` records, leaves those between them that must be left, and
    /// commits the progress. `None` at the end of the plan.
    pub async fn step(&mut self, most: usize) -> Result<Option<Step>, RedriveError> {
        let mut batch = Batch::default();
        while !batch.is_full(most) {
            let Some(record) = self.reader.next().await? else { break };
            let fate = match (self.selection.choose(Letter(&record)), self.selection.action) {
                (Choice::Selected, Action::SendBack { .. }) => Fate::SentBack,
                (Choice::Selected, Action::Discard) => Fate::Discarded,
                _ => Fate::Left,
            };
            batch.push(record, fate);
        }
        if batch.is_empty() {
            return Ok(None);
        }
        self.check_run_id().await?;
        let (step, result) = batch.settle(&self.publisher, &mut self.positions).await;
        self.reader.commit(&self.positions).await?;
        result.map_err(RedriveError::Send)?;
        Ok(Some(step))
    }

    async fn check_run_id(&self) -> Result<(), RedriveError> {
        let partitions = self.positions.iter().map(|position| position.partition);
        let committed = self.reader.positions(partitions).await?;
        if committed.iter().all(|position| position.metadata == self.run_id) {
            Ok(())
        } else {
            Err(RedriveError::Overtaken(self.topic.clone()))
        }
    }
}

impl Plan {
    /// Whether this place is among the records that were read.
    pub fn includes(&self, partition: i32, offset: i64) -> bool {
        self.read
            .iter()
            .any(|range| range.partition == partition && (range.from..range.to).contains(&offset))
    }

    fn note_age(&mut self, timestamp_ms: Option<i64>) {
        let at = timestamp_ms.and_then(DateTime::from_timestamp_millis);
        self.oldest_without_offset = self.oldest_without_offset.into_iter().chain(at).min();
    }

    /// Extends the plan to this offset of the partition.
    fn include(&mut self, partition: i32, offset: i64, waiting: &[OffsetRange]) {
        let to = offset + 1;
        match self.ranges.iter_mut().find(|range| range.partition == partition) {
            Some(range) => range.to = to,
            None => self.ranges.extend(
                waiting
                    .iter()
                    .filter(|range| range.partition == partition)
                    .map(|range| OffsetRange { to, ..*range }),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(partition: i32, from: i64, to: i64) -> OffsetRange {
        OffsetRange { partition, from, to }
    }

    #[test]
    fn pending_records_begin_at_the_committed_offset_or_the_oldest_record() {
        let kept = [range(0, 10, 20), range(1, 10, 20), range(2, 10, 20), range(3, 10, 20)];
        let position = |partition, next| Position { partition, next, metadata: String::new() };
        let positions = [position(0, 15), position(1, 3), position(2, 21)];
        let left = after(&kept, &positions);
        assert_eq!(left, [range(0, 15, 20), range(1, 10, 20), range(2, 10, 20), range(3, 10, 20)]);
    }

    #[test]
    fn a_plan_can_be_limited_to_what_was_counted_before() {
        let ends = [(0, 15), (1, 99)];
        let limited =
            [range(0, 10, 20), range(1, 10, 20), range(2, 10, 20)].map(|it| up_to(it, &ends));
        assert_eq!(limited, [range(0, 10, 15), range(1, 10, 20), range(2, 10, 10)]);
        assert_eq!(up_to(range(0, 17, 20), &ends), range(0, 17, 17));
    }

    #[test]
    fn a_plan_ends_with_the_last_selected_record() {
        let mut plan = Plan::default();
        let waiting = [range(0, 10, 20), range(1, 5, 8)];
        plan.include(0, 12, &waiting);
        plan.include(0, 14, &waiting);
        assert_eq!(plan.ranges, [range(0, 10, 15)]);
    }
}
