//! Which partitions this member holds, and how far each of them is done.
//!
//! A partition can be taken away and come back while a batch waits for a database. Meanwhile its other owner has gone
//! on, and to store where the old batch ends would send the whole group back there. So each record remembers the term
//! under which it was read, and counts for nothing once that term is over.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service_kit::recorder::RecordedSpan;
use tokio::sync::Notify;

use crate::Record;

/// A record, and the term of its partition under which it was read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) record: Record,
    pub(super) term: u64,
    /// From here on, where its trace is recorded.
    pub(super) span: Option<RecordedSpan>,
}

/// A record without what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    term: u64,
}

/// Offsets of which no record has come: from the one that was to come next, which is not known at the beginning of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) partition: i32,
    pub(super) term: u64,
    pub(super) from: Option<i64>,
    /// The offset that has come.
    pub(super) to: i64,
}

impl Taken {
    pub(super) fn mark(&self) -> Mark {
        let Record { partition, offset, timestamp_ms, .. } = self.record;
        Mark { partition, offset, timestamp_ms, term: self.term }
    }
}

/// The partitions that this member holds. Cheap to clone; the client and the runner share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Holdings {
    state: Arc<Mutex<State>>,
    has_skips: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    terms: u64,
    held: BTreeMap<i32, Held>,
    /// The last offset of those that were skipped, by partition.
    skips: BTreeMap<i32, i64>,
    is_retired: bool,
}

/// A partition that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    term: u64,
    /// The offset of the record that comes next; not known before the first one.
    next: Option<i64>,
    /// No record that is yet to be handled is older than this, in milliseconds since 1970.
    handled_up_to: Option<i64>,
}

impl State {
    fn lasts(&self, partition: i32, term: u64) -> bool {
        self.held.get(&partition).is_some_and(|held| held.term == term)
    }

    fn reach(&mut self, mark: &Mark) {
        if let Some(held) = self.held.get_mut(&mark.partition)
            && held.term == mark.term
            && mark.timestamp_ms.is_some()
        {
            held.handled_up_to = mark.timestamp_ms;
        }
    }
}

impl Holdings {
    /// Partitions came: each begins a term of its own.
    pub(super) fn gain(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.lock();
        for partition in partitions {
            state.terms += 1;
            let term = state.terms;
            state.held.insert(partition, Held { term, next: None, handled_up_to: None });
        }
    }

    /// Partitions went: their terms are over.
    pub(super) fn lose(&self, partitions: impl IntoIterator<Item = i32>) {
        let mut state = self.lock();
        for partition in partitions {
            state.held.remove(&partition);
            state.skips.remove(&partition);
        }
    }

    /// How many partitions are held.
    pub(super) fn count(&self) -> usize {
        self.lock().held.len()
    }

    /// Whether the partition is held, under whichever term.
    pub(super) fn holds(&self, partition: i32) -> bool {
        self.lock().held.contains_key(&partition)
    }

    /// Ties a record to the current term of its partition; `None` if it is not held. With it comes what stands between it
    /// and the record before.
    pub(super) fn take(&self, record: Record) -> Option<(Taken, Option<Gap>)> {
        let mut state = self.lock();
        let held = state.held.get_mut(&record.partition)?;
        let (partition, to) = (record.partition, record.offset);
        let gap = Gap { partition, term: held.term, from: held.next, to };
        held.next = Some(to + 1);
        let gap = (gap.from != Some(to)).then_some(gap);
        Some((Taken { record, term: held.term, span: None }, gap))
    }

    /// The offset of the record that comes next, where that is known.
    pub(super) fn next(&self, partition: i32) -> Option<i64> {
        self.lock().held.get(&partition)?.next
    }

    /// Nothing comes from before `next` any more. Whoever waits by [`Self::skipped`] hears of it.
    pub(super) fn skip_to(&self, partition: i32, next: i64) {
        let mut state = self.lock();
        if let Some(held) = state.held.get_mut(&partition) {
            held.next = held.next.max(Some(next));
            state.skips.insert(partition, next - 1);
            self.has_skips.notify_one();
        }
    }

    /// Waits for offsets that were skipped, of partitions that are held; they are to be stored like handled ones, or the
    /// next owner would come upon the same gap.
    pub(super) async fn skipped(&self) -> BTreeMap<i32, i64> {
        self.has_skips.notified().await;
        std::mem::take(&mut self.lock().skips)
    }

    /// Whether the term of a gap still lasts: after it, another owner has gone on.
    pub(super) fn still_concerns(&self, gap: &Gap) -> bool {
        self.lock().lasts(gap.partition, gap.term)
    }

    /// From now on, what the client tells is about what it has left.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.held.clear();
        state.is_retired = true;
    }

    pub(super) fn is_retired(&self) -> bool {
        self.lock().is_retired
    }

    /// Whether the record's term still lasts. If not, the record is somebody else's, or comes again.
    pub(super) fn still_holds(&self, taken: &Taken) -> bool {
        self.lock().lasts(taken.record.partition, taken.term)
    }

    /// These records are handled next, and nothing before them is left.
    pub(super) fn begin(&self, batch: &[Mark]) {
        let mut state = self.lock();
        // From the end, so that the first record of each partition is what stays.
        for mark in batch.iter().rev() {
            state.reach(mark);
        }
    }

    /// These records are handled. Returns what is to be stored: the last offset of each partition that is still held.
    pub(super) fn finish(&self, batch: &[Mark]) -> BTreeMap<i32, i64> {
        let mut state = self.lock();
        for mark in batch {
            state.reach(mark);
        }
        let held = batch.iter().filter(|mark| state.lasts(mark.partition, mark.term));
        held.map(|mark| (mark.partition, mark.offset)).collect()
    }

    /// No record of the partition that is yet to be handled is older than this, as far as is known.
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

    fn take(holdings: &Holdings, records: &[(i32, i64)]) -> Vec<Mark> {
        let taken = records.iter().map(|(partition, offset)| record(*partition, *offset));
        taken.map(|record| holdings.take(record).unwrap().0.mark()).collect()
    }

    #[test]
    fn the_last_offset_of_each_partition_is_stored() {
        let holdings = Holdings::default();
        holdings.gain([0, 1]);
        let batch = take(&holdings, &[(0, 5), (1, 7), (0, 6)]);
        assert_eq!(holdings.finish(&batch), BTreeMap::from([(0, 6), (1, 7)]));
    }

    #[test]
    fn what_was_lost_is_not_stored() {
        let holdings = Holdings::default();
        holdings.gain([0, 1]);
        let batch = take(&holdings, &[(0, 5), (1, 7)]);
        holdings.lose([1]);
        assert_eq!(holdings.finish(&batch), BTreeMap::from([(0, 5)]));
        assert!(holdings.take(record(1, 8)).is_none());
    }

    #[test]
    fn a_gap_is_what_no_record_has_come_of() {
        let holdings = Holdings::default();
        holdings.gain([0]);
        let gap =
            |offset| holdings.take(record(0, offset)).unwrap().1.map(|gap| (gap.from, gap.to));
        assert_eq!([5, 6, 9, 10].map(gap), [Some((None, 5)), None, Some((Some(7), 9)), None]);
        holdings.skip_to(0, 20);
        assert_eq!([20, 0].map(gap), [None, Some((Some(21), 0))]);
    }

    #[test]
    fn what_was_lost_and_came_back_is_not_stored_where_it_was() {
        let holdings = Holdings::default();
        holdings.gain([0]);
        let (before, _) = holdings.take(record(0, 5)).unwrap();
        holdings.lose([0]);
        holdings.gain([0]);
        assert!(!holdings.still_holds(&before));
        assert_eq!(holdings.finish(&[before.mark()]), BTreeMap::new());
        assert_eq!(holdings.handled_up_to(0), None);
    }

    #[test]
    fn the_oldest_record_in_hand_tells_how_late_a_partition_is() {
        let holdings = Holdings::default();
        holdings.gain([0, 1]);
        let batch = take(&holdings, &[(0, 5), (1, 7), (0, 6)]);
        holdings.begin(&batch);
        assert_eq!(
            (holdings.handled_up_to(0), holdings.handled_up_to(1)),
            (Some(5000), Some(7000))
        );
        holdings.finish(&batch);
        assert_eq!(holdings.handled_up_to(0), Some(6000));
    }
}
