//! The assigned partitions, and how far each of them is processed.
//!
//! A partition can be revoked and assigned again while a batch waits for a database. Meanwhile
//! another owner has continued, and storing the offset of the old batch would move the whole group
//! back. So each record carries the assignment epoch in which it was read, and its offset is
//! ignored after that epoch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service_kit::telemetry::batch_tracer::RecordedSpan;
use tokio::sync::Notify;

use crate::Record;

/// A record, and the assignment epoch of its partition in which it was read.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) record: Record,
    pub(super) epoch: u64,
    /// Its processing span, if its trace is sampled.
    pub(super) span: Option<RecordedSpan>,
}

/// The position and timestamp of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordPosition {
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    epoch: u64,
}

/// Offsets for which no record arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) partition: i32,
    pub(super) epoch: u64,
    /// The offset that was expected. Unknown at the start of an assignment epoch.
    pub(super) from: Option<i64>,
    /// The offset that arrived.
    pub(super) to: i64,
}

impl Fetched {
    pub(super) fn position(&self) -> RecordPosition {
        let Record { partition, offset, timestamp_ms, .. } = self.record;
        RecordPosition { partition, offset, timestamp_ms, epoch: self.epoch }
    }
}

/// The partitions assigned to this member. Cheap to clone: the client and the runner share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Assignment {
    state: Arc<Mutex<State>>,
    has_skips: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    last_epoch: u64,
    held: BTreeMap<i32, PartitionState>,
    /// The last skipped offset, by partition.
    skips: BTreeMap<i32, i64>,
    is_retired: bool,
}

/// An assigned partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PartitionState {
    epoch: u64,
    /// The offset of the next record. Unknown before the first one.
    next: Option<i64>,
    /// No unprocessed record is older than this, in milliseconds since 1970.
    handled_up_to: Option<i64>,
}

impl State {
    fn is_current(&self, partition: i32, epoch: u64) -> bool {
        self.held.get(&partition).is_some_and(|held| held.epoch == epoch)
    }

    fn advance(&mut self, position: &RecordPosition) {
        if let Some(held) = self.held.get_mut(&position.partition)
            && held.epoch == position.epoch
            && position.timestamp_ms.is_some()
        {
            held.handled_up_to = position.timestamp_ms;
        }
    }
}

impl Assignment {
    /// Adds assigned partitions. Each begins a new assignment epoch.
    pub(super) fn assign(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.lock();
        for partition in partitions {
            state.last_epoch += 1;
            let epoch = state.last_epoch;
            state.held.insert(partition, PartitionState { epoch, next: None, handled_up_to: None });
        }
    }

    /// Removes revoked partitions, which ends their epochs.
    pub(super) fn revoke(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.lock();
        for partition in partitions {
            state.held.remove(&partition);
            state.skips.remove(&partition);
        }
    }

    /// The number of assigned partitions.
    pub(super) fn count(&self) -> usize {
        self.lock().held.len()
    }

    /// Whether the partition is assigned, in any epoch.
    pub(super) fn holds(&self, partition: i32) -> bool {
        self.lock().held.contains_key(&partition)
    }

    /// Adds the current epoch of its partition to a record, or returns `None` if the partition is
    /// not assigned. Also returns the gap between this record and the previous one.
    pub(super) fn take(&self, record: Record) -> Option<(Fetched, Option<Gap>)> {
        let mut state = self.lock();
        let held = state.held.get_mut(&record.partition)?;
        let (partition, to) = (record.partition, record.offset);
        let gap = Gap { partition, epoch: held.epoch, from: held.next, to };
        held.next = Some(to + 1);
        let gap = (gap.from != Some(to)).then_some(gap);
        Some((Fetched { record, epoch: held.epoch, span: None }, gap))
    }

    /// The offset of the next record, if known.
    pub(super) fn next(&self, partition: i32) -> Option<i64> {
        self.lock().held.get(&partition)?.next
    }

    /// No record before `next` will arrive any more. Wakes [`Self::skipped`].
    pub(super) fn skip_to(&self, partition: i32, next: i64) {
        let mut state = self.lock();
        if let Some(held) = state.held.get_mut(&partition) {
            held.next = held.next.max(Some(next));
            state.skips.insert(partition, next - 1);
            self.has_skips.notify_one();
        }
    }

    /// Waits for skipped offsets of assigned partitions. They must be stored like those of handled
    /// records, or the next owner would find the same gap.
    pub(super) async fn skipped(&self) -> BTreeMap<i32, i64> {
        self.has_skips.notified().await;
        std::mem::take(&mut self.lock().skips)
    }

    /// Whether the epoch of a gap is current. If not, another owner has continued.
    pub(super) fn still_includes_gap(&self, gap: &Gap) -> bool {
        self.lock().is_current(gap.partition, gap.epoch)
    }

    /// Ignores the client's callbacks from now on: it has left the group.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.held.clear();
        state.is_retired = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        self.lock().is_retired
    }

    /// Whether the epoch of the record is current. If not, the record belongs to another member, or
    /// is delivered again.
    pub(super) fn still_includes(&self, fetched: &Fetched) -> bool {
        self.lock().is_current(fetched.record.partition, fetched.epoch)
    }

    /// Notes that these records are handled next, and that no earlier ones remain.
    pub(super) fn begin(&self, batch: &[RecordPosition]) {
        let mut state = self.lock();
        // In reverse, so that the first record of each partition remains.
        for position in batch.iter().rev() {
            state.advance(position);
        }
    }

    /// Notes that these records are handled. Returns the offsets to store: the last one of each
    /// partition that is still assigned.
    pub(super) fn finish(&self, batch: &[RecordPosition]) -> BTreeMap<i32, i64> {
        let mut state = self.lock();
        for position in batch {
            state.advance(position);
        }
        let held =
            batch.iter().filter(|position| state.is_current(position.partition, position.epoch));
        held.map(|position| (position.partition, position.offset)).collect()
    }

    /// As far as known, no unprocessed record of the partition is older than this, in milliseconds
    /// since 1970.
    pub(super) fn handled_up_to(&self, partition: i32) -> Option<i64> {
        self.lock().held.get(&partition)?.handled_up_to
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64) -> Record {
        Record {
            topic: "t".into(),
            partition,
            offset,
            timestamp_ms: Some(1000 * offset),
            key: None,
            value: None,
            headers: vec![],
        }
    }

    fn take(assignment: &Assignment, records: &[(i32, i64)]) -> Vec<RecordPosition> {
        let fetched = records.iter().map(|(partition, offset)| record(*partition, *offset));
        fetched.map(|record| assignment.take(record).unwrap().0.position()).collect()
    }

    #[test]
    fn the_last_offset_of_each_partition_is_stored() {
        let assignment = Assignment::default();
        assignment.assign([0, 1]);
        let batch = take(&assignment, &[(0, 5), (1, 7), (0, 6)]);
        assert_eq!(assignment.finish(&batch), BTreeMap::from([(0, 6), (1, 7)]));
    }

    #[test]
    fn offsets_of_a_revoked_partition_are_not_stored() {
        let assignment = Assignment::default();
        assignment.assign([0, 1]);
        let batch = take(&assignment, &[(0, 5), (1, 7)]);
        assignment.revoke([1]);
        assert_eq!(assignment.finish(&batch), BTreeMap::from([(0, 5)]));
        assert!(assignment.take(record(1, 8)).is_none());
    }

    #[test]
    fn missing_offsets_are_reported_as_a_gap() {
        let assignment = Assignment::default();
        assignment.assign([0]);
        let gap =
            |offset| assignment.take(record(0, offset)).unwrap().1.map(|gap| (gap.from, gap.to));
        assert_eq!([5, 6, 9, 10].map(gap), [Some((None, 5)), None, Some((Some(7), 9)), None]);
        assignment.skip_to(0, 20);
        assert_eq!([20, 0].map(gap), [None, Some((Some(21), 0))]);
    }

    #[test]
    fn offsets_of_an_earlier_assignment_epoch_are_not_stored() {
        let assignment = Assignment::default();
        assignment.assign([0]);
        let (before, _) = assignment.take(record(0, 5)).unwrap();
        assignment.revoke([0]);
        assignment.assign([0]);
        assert!(!assignment.still_includes(&before));
        assert_eq!(assignment.finish(&[before.position()]), BTreeMap::new());
        assert_eq!(assignment.handled_up_to(0), None);
    }

    #[test]
    fn the_oldest_unfinished_record_sets_the_lag_of_a_partition() {
        let assignment = Assignment::default();
        assignment.assign([0, 1]);
        let batch = take(&assignment, &[(0, 5), (1, 7), (0, 6)]);
        assignment.begin(&batch);
        assert_eq!(
            (assignment.handled_up_to(0), assignment.handled_up_to(1)),
            (Some(5000), Some(7000))
        );
        assignment.finish(&batch);
        assert_eq!(assignment.handled_up_to(0), Some(6000));
    }
}
