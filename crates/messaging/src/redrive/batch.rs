//! A batch of dead letters that are settled together.

use futures::future::join_all;
use rdkafka::error::KafkaError;
use service_kit::Chain;

use super::letter::Letter;
use crate::dead_letter::publish_letter;
use crate::reader::Position;
use crate::{PublishError, Publisher, Record};

/// Maximum number of records in a batch, including those that are left.
const MAX_RECORDS: usize = 1_000;
/// The size from which a batch is not filled further, in bytes.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// The result of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Records that were sent back or discarded.
    pub done: u64,
    /// Records that were left, and are now at the end of the dead letter topic.
    pub left: u64,
    /// Records that should have been sent back, but that their topic refused.
    pub refused: Vec<Refusal>,
}

/// A dead letter that its original topic refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The partition of the dead letter topic.
    pub partition: i32,
    /// Its offset in that topic.
    pub offset: i64,
    /// Why it was refused.
    pub reason: String,
}

impl Step {
    /// A dead letter can be refused twice: by its original topic, and by the dead letter topic.
    fn refuse(&mut self, letter: &Record, error: &KafkaError) {
        let reason = Chain(error).to_string();
        let refusal = Refusal { partition: letter.partition, offset: letter.offset, reason };
        self.refused.retain(|it| (it.partition, it.offset) != (letter.partition, letter.offset));
        self.refused.push(refusal);
    }
}

/// What happens to a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    SentBack,
    Discarded,
    /// Written to the end of the dead letter topic.
    Left,
}

/// Records in the order in which they were read.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<(Record, Fate)>,
    selected: usize,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, record: Record, fate: Fate) {
        self.selected += usize::from(fate != Fate::Left);
        self.bytes += record.bytes();
        self.records.push((record, fate));
    }

    /// Whether the batch has `most` selected records, or the maximum number of records or bytes.
    pub(super) fn is_full(&self, most: usize) -> bool {
        self.selected >= most || self.records.len() >= MAX_RECORDS || self.bytes >= BATCH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Sends all records except those to discard, waits for all delivery reports, and moves each
    /// position to the first record that failed.
    pub(super) async fn settle(
        self,
        publisher: &Publisher,
        positions: &mut [Position],
    ) -> (Step, Result<(), PublishError>) {
        let results =
            join_all(self.records.iter().map(|(record, fate)| settle(publisher, record, *fate)));
        let results = results.await;
        let mut step = Step::default();
        let mut failure = None;
        let mut stuck = Vec::new();
        for ((record, fate), result) in self.records.iter().zip(results) {
            let (mut settled, mut fate) = (result, *fate);
            if let (Fate::SentBack, Err(PublishError::Refused(error))) = (fate, &settled) {
                step.refuse(record, error);
                fate = Fate::Left;
                settled = settle(publisher, record, fate).await;
            }
            settled = match settled {
                // The dead letter topic refuses the record too. It stays where it is, and later
                // records continue.
                Err(PublishError::Refused(error)) => {
                    step.refuse(record, &error);
                    Ok(())
                }
                Ok(()) if fate == Fate::Left => {
                    step.left += 1;
                    Ok(())
                }
                Ok(()) => {
                    step.done += 1;
                    Ok(())
                }
                settled => settled,
            };
            if let Err(error) = settled {
                stuck.push(record.partition);
                failure.get_or_insert(error);
            }
            let place = positions.iter_mut().find(|it| it.partition == record.partition);
            if let Some(position) = place.filter(|it| !stuck.contains(&it.partition)) {
                position.next = record.offset + 1;
            }
        }
        (step, failure.map_or(Ok(()), Err))
    }
}

/// Sends a record back to its topic, or unchanged to the end of the dead letter topic. If the
/// latter refuses it whole, it is truncated. A discarded record needs nothing.
async fn settle(publisher: &Publisher, record: &Record, fate: Fate) -> Result<(), PublishError> {
    let letter = Letter(record);
    match (fate, letter.origin()) {
        (Fate::Discarded, _) => Ok(()),
        (Fate::SentBack, Some(topic)) => publisher.forward(&letter.returned(), topic, &[]).await,
        _ => publish_letter(publisher, record, &record.topic, &[]).await,
    }
}
