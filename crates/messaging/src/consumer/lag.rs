//! The lag of this member, in records and in seconds, from the client's statistics, which arrive
//! once a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use rdkafka::Statistics;
use rdkafka::statistics::Partition;

use super::offsets::Assignment;
use super::skipped::Skipped;

/// Publishes the lag of one topic.
#[derive(Clone, Debug)]
pub(super) struct Lag {
    topic: Arc<str>,
    /// The deleted records in the previous statistics.
    candidates: Arc<Mutex<BTreeMap<i32, Skipped>>>,
}

impl Lag {
    pub(super) fn of(topic: &str) -> Self {
        Self { topic: topic.into(), candidates: Arc::default() }
    }

    pub(super) fn topic(&self) -> String {
        self.topic.to_string()
    }

    /// Sets the metrics, and returns the leader of each partition with records to read. Also
    /// reports deleted records after which no record has arrived.
    pub(super) fn observe(&self, statistics: &Statistics, assignment: &Assignment) -> Vec<i32> {
        let now = Utc::now().timestamp_millis();
        let mut oldest = now;
        let mut leaders = Vec::new();
        let topic = statistics.topics.get(&*self.topic);
        for partition in topic.iter().flat_map(|topic| topic.partitions.values()) {
            let Some(lag) = records(partition).filter(|_| assignment.holds(partition.partition))
            else {
                continue;
            };
            self.set_records(partition.partition, lag);
            if let Some(skipped) = self.gone(partition, assignment) {
                assignment.skip_to(skipped.partition, skipped.to);
                skipped.report(&self.topic);
            }
            if lag > 0 {
                leaders.push(partition.leader);
                let reached = assignment.handled_up_to(partition.partition);
                oldest = oldest.min(reached.unwrap_or(now));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "ages are far below 2^52 milliseconds")]
        metrics::gauge!("consumer_lag_seconds", "topic" => self.topic())
            .set((now - oldest) as f64 / 1000.0);
        leaders
    }

    /// Deleted records that were expected next, while the fetch queue is empty. Reported when two
    /// consecutive statistics show them, because a fetch can be in progress.
    fn gone(&self, partition: &Partition, assignment: &Assignment) -> Option<Skipped> {
        let committed = Some(partition.committed_offset).filter(|offset| *offset >= 0);
        let from = assignment.next(partition.partition).or(committed)?;
        let (number, to) = (partition.partition, partition.lo_offset);
        let now = (from < to && partition.fetchq_cnt == 0).then_some(Skipped {
            partition: number,
            from,
            to,
        });
        let mut candidates = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match now {
            Some(now) => candidates.insert(number, now),
            None => candidates.remove(&number),
        };
        now.filter(|now| before == Some(*now))
    }

    /// Resets the lag of revoked partitions, which another member reports from now on.
    pub(super) fn forget(&self, partitions: Vec<i32>) {
        for partition in partitions {
            self.set_records(partition, 0);
        }
    }

    fn set_records(&self, partition: i32, lag: i64) {
        #[expect(clippy::cast_precision_loss, reason = "an offset is far below 2^52")]
        metrics::gauge!(
            "consumer_lag_records",
            "topic" => self.topic(),
            "partition" => partition.to_string()
        )
        .set(lag as f64);
    }
}

/// The number of unprocessed records, if known. Partition -1 is internal to the client.
fn records(partition: &Partition) -> Option<i64> {
    if partition.partition < 0 {
        return None;
    }
    let since_start = partition.hi_offset - partition.lo_offset;
    let known = [
        // Since the offset that this member stored.
        (true, partition.consumer_lag_stored),
        // No stored offset: since the committed offset of the previous owner.
        (true, partition.consumer_lag),
        // No committed offset: all records of the partition.
        (partition.lo_offset >= 0 && partition.hi_offset >= 0, since_start),
    ];
    let lag = known.into_iter().find(|(valid, lag)| *valid && *lag >= 0).map(|(_, lag)| lag);
    // Deleted records do not count.
    if partition.lo_offset >= 0 && since_start >= 0 {
        lag.map(|lag| lag.min(since_start))
    } else {
        lag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32, [stored, committed]: [i64; 2], [low, high]: [i64; 2]) -> Partition {
        Partition {
            partition: number,
            consumer_lag_stored: stored,
            consumer_lag: committed,
            lo_offset: low,
            hi_offset: high,
            ..Partition::default()
        }
    }

    #[test]
    fn lag_is_measured_from_the_stored_or_else_the_committed_offset() {
        assert_eq!(records(&partition(0, [3, 9], [0, 20])), Some(3));
        assert_eq!(records(&partition(0, [-1, 9], [0, 20])), Some(9));
        assert_eq!(records(&partition(0, [-1, -1], [5, 20])), Some(15));
        assert_eq!(records(&partition(0, [0, 9], [0, 20])), Some(0));
    }

    #[test]
    fn deleted_records_do_not_count_as_lag() {
        assert_eq!(records(&partition(0, [15, 15], [18, 20])), Some(2));
        assert_eq!(records(&partition(0, [-1, 20], [20, 20])), Some(0));
    }

    #[test]
    fn unknown_offsets_report_no_lag() {
        // -1001 is the client's value for an unknown offset.
        assert_eq!(records(&partition(0, [-1, -1], [-1001, -1001])), None);
        assert_eq!(records(&partition(0, [-1, -1], [-1001, 20])), None);
        assert_eq!(records(&partition(-1, [3, 3], [0, 3])), None);
    }
}
