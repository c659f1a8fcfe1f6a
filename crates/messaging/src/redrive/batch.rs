//! A few dead letters that are settled together.

use futures::future::join_all;
use rdkafka::error::KafkaError;
use service_kit::Chain;

use super::letter::Letter;
use crate::dead_letter::keep;
use crate::reader::Position;
use crate::{PublishError, Publisher, Record};

/// The most records of a batch, those that are left included.
const MOST_RECORDS: usize = 1_000;
/// The size from which on a batch is not filled up any more, in bytes.
const ENOUGH_BYTES: usize = 8 * 1024 * 1024;

/// What one step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Records that went back.
    pub sent: u64,
    /// Records that were left, and stand at the end of the dead letter topic now.
    pub left: u64,
    /// Those of them that should have gone back, but their topic does not take them.
    pub refused: Vec<Refusal>,
}

/// A dead letter that its own topic refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The partition of the dead letter topic.
    pub partition: i32,
    /// Where it was in it.
    pub offset: i64,
    /// Why it was refused.
    pub reason: String,
}

impl Step {
    /// One letter can be refused twice, by its own topic and by that of dead letters.
    fn refuse(&mut self, letter: &Record, error: &KafkaError) {
        let reason = Chain(error).to_string();
        let refusal = Refusal { partition: letter.partition, offset: letter.offset, reason };
        self.refused.retain(|it| (it.partition, it.offset) != (letter.partition, letter.offset));
        self.refused.push(refusal);
    }
}

/// Records in the order in which they were read, each with whether it goes back.
#[derive(Debug, Default)]
pub(super) struct Batch {
    records: Vec<(Record, bool)>,
    sent: usize,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, record: Record, sent: bool) {
        self.sent += usize::from(sent);
        self.bytes += record.bytes();
        self.records.push((record, sent));
    }

    /// Whether it has `most` records to send, or as many bytes or records as are good to hold at once.
    pub(super) fn is_full(&self, most: usize) -> bool {
        self.sent >= most || self.records.len() >= MOST_RECORDS || self.bytes >= ENOUGH_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Sends everything, waits for every answer, and moves the positions up to the first record that got none.
    pub(super) async fn settle(
        self,
        publisher: &Publisher,
        positions: &mut [Position],
    ) -> (Step, Result<(), PublishError>) {
        let answers =
            join_all(self.records.iter().map(|(record, sent)| send(publisher, record, *sent)));
        let answers = answers.await;
        let mut step = Step::default();
        let mut failure = None;
        let mut stuck = Vec::new();
        for ((record, sent), answer) in self.records.iter().zip(answers) {
            let (mut settled, mut is_left) = (answer, !*sent);
            if let (true, Err(PublishError::Refused(error))) = (*sent, &settled) {
                step.refuse(record, error);
                (settled, is_left) = (send(publisher, record, false).await, true);
            }
            settled = match settled {
                // It cannot even be left. It stays where it is, and what comes after it goes on.
                Err(PublishError::Refused(error)) => {
                    step.refuse(record, &error);
                    Ok(())
                }
                Ok(()) if is_left => {
                    step.left += 1;
                    Ok(())
                }
                Ok(()) => {
                    step.sent += 1;
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

/// Back to its topic, or to the end of the dead letter topic, as it is if that takes it.
async fn send(publisher: &Publisher, record: &Record, back: bool) -> Result<(), PublishError> {
    let letter = Letter(record);
    match letter.origin().filter(|_| back) {
        Some(topic) => publisher.forward(&letter.returned(), topic, &[]).await,
        None => keep(publisher, record, &record.topic, &[]).await,
    }
}
