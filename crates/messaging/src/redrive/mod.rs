//! Sending dead letters back to where they came from.
//!
//! A dead letter topic is worked off like a queue. How far a redrive has come is the committed offset of a group of its
//! own, and everything before it has gone back. What a redrive leaves, because it is of another class or came back too
//! often, must not be lost behind that offset: it is written to the end of the topic again, as it is. So there is one
//! rule: *what was not sent back stands after the committed offset*. Nothing behind the last record that goes back is
//! moved, and a redrive that has nothing to send changes nothing.
//!
//! An offset is committed after the acknowledgements of all before it. A redrive that is killed can so send a record
//! again, or leave one twice, but lose none. Two redrives of one topic would double everything: each leaves its mark
//! with the offset, and the one that no longer finds its own stops.

mod batch;
mod letter;
mod selection;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::reader::{Position, ReadError, Span, TopicReader};
use crate::{KafkaSettings, PublishError, Publisher};
use batch::Batch;
pub use batch::{Refusal, Step};
pub use letter::Letter;
use selection::Choice;
pub use selection::{Selection, Tally};

/// The class in a tally of records that name none.
const NO_CLASS: &str = "none";

/// Why a redrive stopped. What it had done until then stays done, and the next one goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    /// The dead letter topic could not be read, or the progress not be kept.
    #[error("the dead letters cannot be read")]
    Read(#[from] ReadError),
    /// A record could not be sent, for a reason that is not the record's.
    #[error("a dead letter cannot be sent")]
    Send(#[source] PublishError),
    /// Another redrive has begun meanwhile.
    #[error("another redrive of {0} is under way")]
    Overtaken(String),
}

/// What a redrive would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many records it would send.
    pub send: u64,
    /// Everything that waits, by error class.
    pub classes: BTreeMap<String, Tally>,
    /// How old the oldest letter is, in partitions of which no broker knows how far a redrive has come: there was none, or
    /// its offset has expired, and then it would send some of them again.
    pub oldest_without_offset: Option<DateTime<Utc>>,
    /// Everything up to the last record that it would send.
    spans: Vec<Span>,
}

/// Works off one dead letter topic.
#[derive(Debug)]
pub struct Redrive {
    topic: String,
    selection: Selection,
    reader: TopicReader,
    publisher: Publisher,
    /// Tells this redrive's commits from those of others.
    mark: String,
    /// Where the plan began.
    planned_from: Vec<Position>,
    /// Where the next batch begins, in each partition that is read.
    positions: Vec<Position>,
}

/// The group whose offsets say how far the redrives of a dead letter topic have come.
pub fn group_of(dead_letter_topic: &str) -> String {
    format!("{dead_letter_topic}.redrive")
}

/// Whether a topic is one that some group puts its dead letters into.
pub fn is_dead_letter_topic(topic: &str) -> bool {
    topic.strip_suffix(".dlq").is_some_and(|rest| rest.contains('.'))
}

/// Whether a topic is one that some group puts those of its dead letters into that come from `origin`.
pub fn is_dead_letter_topic_of(topic: &str, origin: &str) -> bool {
    let group =
        topic.strip_prefix(origin).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".dlq"));
    group.is_some_and(|group| !group.is_empty())
}

/// The part of a dead letter topic that has not gone back, of what is kept in it; `reader` reads for [`group_of`] it.
pub async fn waiting(kept: &[Span], reader: &TopicReader) -> Result<Vec<Span>, ReadError> {
    let positions = reader.positions(kept.iter().map(|span| span.partition)).await?;
    Ok(after(kept, &positions))
}

/// An offset that is not in the topic says nothing: it has expired, or the topic was made anew.
fn after(kept: &[Span], positions: &[Position]) -> Vec<Span> {
    let from = |span: &Span| {
        let position = positions.iter().find(|position| position.partition == span.partition);
        position.map(|it| it.next).filter(|next| (span.from..=span.to).contains(next))
    };
    kept.iter().map(|span| Span { from: from(span).unwrap_or(span.from), ..*span }).collect()
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
            mark: Uuid::new_v4().to_string(),
            positions: Vec::new(),
            planned_from: Vec::new(),
        })
    }

    /// Reads everything that waits, and sends nothing. `seen` hears how many records were read, and of how many.
    pub async fn plan(&mut self, mut seen: impl FnMut(u64, u64)) -> Result<Plan, RedriveError> {
        let kept = self.reader.kept().await?;
        self.planned_from = self.reader.positions(kept.iter().map(|span| span.partition)).await?;
        let waiting = after(&kept, &self.planned_from);
        let all = waiting.iter().map(Span::count).sum();
        let mut plan = Plan::default();
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
            if choice == Choice::Send && self.selection.most.is_none_or(|most| plan.send < most) {
                plan.send += 1;
                plan.include(record.partition, record.offset, &waiting);
            }
            read += 1;
            seen(read, all);
        }
        Ok(plan)
    }

    /// Begins what was planned: from here on, another redrive that began before stops.
    pub async fn begin(&mut self, plan: &Plan) -> Result<(), RedriveError> {
        let position = |span: &Span| Position {
            partition: span.partition,
            next: span.from,
            note: self.mark.clone(),
        };
        // Whoever has been at work since the plan was made has sent some of it.
        let partitions = || plan.spans.iter().map(|span| span.partition);
        let now = self.reader.positions(partitions()).await?;
        let then = self.planned_from.iter().filter(|it| partitions().any(|at| at == it.partition));
        if !now.iter().eq(then) {
            return Err(RedriveError::Overtaken(self.topic.clone()));
        }
        self.positions = plan.spans.iter().map(position).collect();
        if !self.positions.is_empty() {
            self.reader.commit(&self.positions).await?;
        }
        self.reader.begin(&plan.spans)?;
        Ok(())
    }

    /// Sends at most `most` records, with what has to be left between them, and keeps the progress. `None` at the end
    /// of the plan.
    pub async fn step(&mut self, most: usize) -> Result<Option<Step>, RedriveError> {
        let mut batch = Batch::default();
        while !batch.is_full(most) {
            let Some(record) = self.reader.next().await? else { break };
            let sent = self.selection.choose(Letter(&record)) == Choice::Send;
            batch.push(record, sent);
        }
        if batch.is_empty() {
            return Ok(None);
        }
        self.check_mark().await?;
        let (step, result) = batch.settle(&self.publisher, &mut self.positions).await;
        self.reader.commit(&self.positions).await?;
        result.map_err(RedriveError::Send)?;
        Ok(Some(step))
    }

    async fn check_mark(&self) -> Result<(), RedriveError> {
        let partitions = self.positions.iter().map(|position| position.partition);
        let committed = self.reader.positions(partitions).await?;
        if committed.iter().all(|position| position.note == self.mark) {
            Ok(())
        } else {
            Err(RedriveError::Overtaken(self.topic.clone()))
        }
    }
}

impl Plan {
    fn note_age(&mut self, timestamp_ms: Option<i64>) {
        let at = timestamp_ms.and_then(DateTime::from_timestamp_millis);
        self.oldest_without_offset = self.oldest_without_offset.into_iter().chain(at).min();
    }

    /// Everything of the partition up to this offset.
    fn include(&mut self, partition: i32, offset: i64, waiting: &[Span]) {
        let to = offset + 1;
        match self.spans.iter_mut().find(|span| span.partition == partition) {
            Some(span) => span.to = to,
            None => self.spans.extend(
                waiting
                    .iter()
                    .filter(|span| span.partition == partition)
                    .map(|span| Span { to, ..*span }),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(partition: i32, from: i64, to: i64) -> Span {
        Span { partition, from, to }
    }

    #[test]
    fn what_waits_begins_at_the_committed_offset_or_where_there_is_none_at_the_oldest_record() {
        let kept = [span(0, 10, 20), span(1, 10, 20), span(2, 10, 20), span(3, 10, 20)];
        let position = |partition, next| Position { partition, next, note: String::new() };
        let positions = [position(0, 15), position(1, 3), position(2, 21)];
        let left = after(&kept, &positions);
        assert_eq!(left, [span(0, 15, 20), span(1, 10, 20), span(2, 10, 20), span(3, 10, 20)]);
    }

    #[test]
    fn a_plan_ends_with_the_last_record_that_it_sends() {
        let mut plan = Plan::default();
        let waiting = [span(0, 10, 20), span(1, 5, 8)];
        plan.include(0, 12, &waiting);
        plan.include(0, 14, &waiting);
        assert_eq!(plan.spans, [span(0, 10, 15)]);
    }
}
