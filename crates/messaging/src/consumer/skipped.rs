//! Records that a topic retired before this group has read them: by its retention, by hand, or because it was made anew.

use std::time::Duration;

use metrics::Counter;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::offsets::Gap;

/// How long a broker may take to say where a partition begins, and how far the group has come.
const PATIENCE: Duration = Duration::from_secs(1);

/// Offsets that this group will never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) partition: i32,
    /// The first of them.
    pub(super) from: i64,
    /// The one after the last. Before `from` where the topic was made anew: nobody knows what was left of the old one.
    pub(super) to: i64,
}

impl Skipped {
    /// Counts them, and says so.
    pub(super) fn tell(self, topic: &str) {
        let Self { partition, from, to } = self;
        let records = u64::try_from(to - from).unwrap_or(1);
        counter(topic, partition).increment(records);
        if from < to {
            tracing::error!(
                topic,
                partition,
                from,
                to,
                records,
                "records retired before they were read"
            );
        } else {
            tracing::error!(
                topic,
                partition,
                from,
                to,
                "the topic was made anew, what was left of it is gone"
            );
        }
    }
}

/// Begins to count for partitions that have come, at 0: a count that begins higher is no increase to Prometheus.
pub(super) fn begin(topic: &str, partitions: &[i32]) {
    for partition in partitions {
        counter(topic, *partition).increment(0);
    }
}

fn counter(topic: &str, partition: i32) -> Counter {
    let (topic, partition) = (topic.to_owned(), partition.to_string());
    metrics::counter!("consumer_skipped_records_total", "topic" => topic, "partition" => partition)
}

/// What of these gaps is no longer in the topic. A gap can be something else: what a transaction leaves behind, which is
/// no record.
pub(super) fn skipped<C: ConsumerContext>(
    client: &impl Consumer<C>,
    topic: &str,
    gaps: Vec<Gap>,
) -> Vec<Skipped> {
    let committed = committed(client, topic, &gaps);
    let of_gap = |gap: Gap| {
        let Gap { partition, from, to, .. } = gap;
        // A group that has committed nothing reads from the beginning, which was 0.
        let from = match (from, &committed) {
            (Some(from), _) => from,
            (None, Ok(committed)) => {
                let offset = committed.find_partition(topic, partition).map(|it| it.offset());
                offset.and_then(Offset::to_raw).filter(|offset| *offset >= 0).unwrap_or(0)
            }
            (None, Err(_)) => return None,
        };
        if from > to {
            return Some(Skipped { partition, from, to });
        }
        // Where nobody says where the partition begins, it is where its first record is.
        let begin =
            || client.fetch_watermarks(topic, partition, PATIENCE).map_or(to, |(low, _)| low);
        let to = if from < to { begin().min(to) } else { to };
        (from < to).then_some(Skipped { partition, from, to })
    };
    gaps.into_iter().filter_map(of_gap).collect()
}

fn committed<C: ConsumerContext>(
    client: &impl Consumer<C>,
    topic: &str,
    gaps: &[Gap],
) -> KafkaResult<TopicPartitionList> {
    let mut asked = TopicPartitionList::new();
    for gap in gaps.iter().filter(|gap| gap.from.is_none()) {
        asked.add_partition(topic, gap.partition);
    }
    if asked.count() == 0 {
        return Ok(asked);
    }
    client.committed_offsets(asked, PATIENCE)
}
