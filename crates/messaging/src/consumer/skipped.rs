//! Records that the topic deleted before this group read them: by retention, by an operator, or
//! because the topic was recreated.

use std::time::Duration;

use metrics::Counter;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use super::offsets::Gap;

/// Timeout of a request for the start of a partition, or for the committed offsets of the group.
const BROKER_TIMEOUT: Duration = Duration::from_secs(1);

/// Offsets that this group will never read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) partition: i32,
    /// The first offset.
    pub(super) from: i64,
    /// The offset after the last one. Less than `from` if the topic was recreated: then the number
    /// of lost records is unknown.
    pub(super) to: i64,
}

impl Skipped {
    /// Counts and logs the skipped records.
    pub(super) fn report(self, topic: &str) {
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
                "records deleted before they were read"
            );
        } else {
            tracing::error!(
                topic,
                partition,
                from,
                to,
                "the topic was recreated; unread records of the old topic are lost"
            );
        }
    }
}

/// Creates the counters of newly assigned partitions at 0: for Prometheus, a counter that starts at
/// a higher value has no increase.
pub(super) fn begin(topic: &str, partitions: &[i32]) {
    for partition in partitions {
        counter(topic, *partition).increment(0);
    }
}

fn counter(topic: &str, partition: i32) -> Counter {
    let (topic, partition) = (topic.to_owned(), partition.to_string());
    metrics::counter!("consumer_skipped_records_total", "topic" => topic, "partition" => partition)
}

/// The parts of these gaps that are no longer in the topic. A gap can also be a transaction marker,
/// which is not a record.
pub(super) fn skipped<C: ConsumerContext>(
    client: &impl Consumer<C>,
    topic: &str,
    gaps: Vec<Gap>,
) -> Vec<Skipped> {
    let committed = committed(client, topic, &gaps);
    let of_gap = |gap: Gap| {
        let Gap { partition, from, to, .. } = gap;
        // A group without a committed offset reads from the beginning, which was 0.
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
        // If the broker does not return the beginning, use the first record that arrived.
        let begin =
            || client.fetch_watermarks(topic, partition, BROKER_TIMEOUT).map_or(to, |(low, _)| low);
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
    client.committed_offsets(asked, BROKER_TIMEOUT)
}
