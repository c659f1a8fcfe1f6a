//! How far behind this member is, in records and in seconds, from what the client tells of itself once a second.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use rdkafka::Statistics;
use rdkafka::statistics::Partition;

use super::offsets::Holdings;
use super::skipped::Skipped;

/// Publishes the lag of one topic.
#[derive(Clone, Debug)]
pub(super) struct Lag {
    topic: Arc<str>,
    /// What was gone when the client told last.
    suspects: Arc<Mutex<BTreeMap<i32, Skipped>>>,
}

/// A partition with records that are yet to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    /// The broker that has them.
    pub(super) leader: i32,
}

impl Lag {
    pub(super) fn of(topic: &str) -> Self {
        Self { topic: topic.into(), suspects: Arc::default() }
    }

    pub(super) fn topic(&self) -> String {
        self.topic.to_string()
    }

    /// Sets the metrics, and returns the partitions that have something to read. Tells of records that are gone though no
    /// record has come since.
    pub(super) fn observe(&self, statistics: &Statistics, holdings: &Holdings) -> Vec<Behind> {
        let now = Utc::now().timestamp_millis();
        let mut oldest = now;
        let mut behind = Vec::new();
        let topic = statistics.topics.get(&*self.topic);
        for partition in topic.iter().flat_map(|topic| topic.partitions.values()) {
            let Some(lag) = records(partition).filter(|_| holdings.holds(partition.partition))
            else {
                continue;
            };
            self.set_records(partition.partition, lag);
            if let Some(skipped) = self.gone(partition, holdings) {
                holdings.skip_to(skipped.partition, skipped.to);
                skipped.tell(&self.topic);
            }
            if lag > 0 {
                behind.push(Behind { leader: partition.leader });
                let reached = holdings.handled_up_to(partition.partition);
                oldest = oldest.min(reached.unwrap_or(now));
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "ages are far below 2^52 milliseconds")]
        metrics::gauge!("consumer_lag_seconds", "topic" => self.topic())
            .set((now - oldest) as f64 / 1000.0);
        behind
    }

    /// What was to come next, and is not in the topic any more, nor on its way: seen twice, since a fetch can be under way.
    fn gone(&self, partition: &Partition, holdings: &Holdings) -> Option<Skipped> {
        let committed = Some(partition.committed_offset).filter(|offset| *offset >= 0);
        let from = holdings.next(partition.partition).or(committed)?;
        let (number, to) = (partition.partition, partition.lo_offset);
        let now = (from < to && partition.fetchq_cnt == 0).then_some(Skipped {
            partition: number,
            from,
            to,
        });
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match now {
            Some(now) => suspects.insert(number, now),
            None => suspects.remove(&number),
        };
        now.filter(|now| before == Some(*now))
    }

    /// Partitions that somebody else reads from now on.
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

/// The records that are yet to be handled, where that is known. Partition -1 is the client's own.
fn records(partition: &Partition) -> Option<i64> {
    if partition.partition < 0 {
        return None;
    }
    let since_start = partition.hi_offset - partition.lo_offset;
    let known = [
        // Behind what was stored here.
        (true, partition.consumer_lag_stored),
        // Nothing stored yet: behind what was committed by whoever had it before.
        (true, partition.consumer_lag),
        // Nothing committed by anybody: all that there is.
        (partition.lo_offset >= 0 && partition.hi_offset >= 0, since_start),
    ];
    let lag = known.into_iter().find(|(valid, lag)| *valid && *lag >= 0).map(|(_, lag)| lag);
    // What was retired is not waited for.
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
    fn lag_is_counted_from_the_best_that_is_known() {
        assert_eq!(records(&partition(0, [3, 9], [0, 20])), Some(3));
        assert_eq!(records(&partition(0, [-1, 9], [0, 20])), Some(9));
        assert_eq!(records(&partition(0, [-1, -1], [5, 20])), Some(15));
        assert_eq!(records(&partition(0, [0, 9], [0, 20])), Some(0));
    }

    #[test]
    fn what_was_retired_is_no_lag() {
        assert_eq!(records(&partition(0, [15, 15], [18, 20])), Some(2));
        assert_eq!(records(&partition(0, [-1, 20], [20, 20])), Some(0));
    }

    #[test]
    fn what_is_not_known_is_no_lag() {
        // -1001 is the client's word for an offset that it does not know.
        assert_eq!(records(&partition(0, [-1, -1], [-1001, -1001])), None);
        assert_eq!(records(&partition(0, [-1, -1], [-1001, 20])), None);
        assert_eq!(records(&partition(-1, [3, 3], [0, 3])), None);
    }
}
