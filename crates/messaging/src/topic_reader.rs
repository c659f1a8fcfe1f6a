//! Reading a topic from one end to the other, without joining anything.
//!
//! A consumer group waits for what comes next; whoever looks into a topic wants what is there now, and an end. So this
//! reads up to offsets that were asked for beforehand, and gives up when nothing arrives for a while. It commits nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataPartition;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use service_kit::retry::FIRST_WAIT;
use tokio::time::timeout_at;

use crate::context::QuietContext;
use crate::{KafkaSettings, Record};

/// Longest for questions about one topic, all of its partitions together.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A topic of which nothing arrives for so long is given up.
const SILENCE: Duration = Duration::from_secs(30);
/// What is fetched ahead, at most. What the client keeps of a record beside its bytes can be more than these.
const BUFFER_KBYTES: &str = "4096";
const BUFFER_RECORDS: &str = "10000";

impl ConsumerContext for QuietContext {}

/// What there is of a partition: from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The partition.
    pub partition: i32,
    /// The first offset; greater than 0 once records have left the partition.
    pub start: i64,
    /// The offset that the next record will get.
    pub end: i64,
}

/// Why a topic could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The broker did not answer, or not in time.
    #[error("Kafka does not answer")]
    Unavailable(#[from] KafkaError),
    /// There is no such topic.
    #[error("there is no topic {0}")]
    NoTopic(String),
    /// Records are known to be there, and none arrives.
    #[error("nothing of {topic} arrived for {} s, with {unread} records to come", SILENCE.as_secs())]
    Silent {
        /// The topic.
        topic: String,
        /// How many records are missing.
        unread: i64,
    },
}

/// How far each partition of a topic reaches, by ascending number.
pub async fn extents(settings: &KafkaSettings, topic: &str) -> Result<Vec<Extent>, ReadError> {
    ask(settings, "topic-reader", topic, |consumer, topic, deadline| {
        partitions(consumer, topic, deadline)?
            .into_iter()
            .map(|partition| {
                let (start, end) =
                    patiently(deadline, |left| consumer.fetch_watermarks(topic, partition, left))?;
                Ok(Extent { partition, start, end })
            })
            .collect()
    })
    .await
}

/// The offset that a group has committed for each of a topic's partitions, where it has committed one: everything below
/// it is done with.
pub async fn committed(
    settings: &KafkaSettings,
    group: &str,
    topic: &str,
) -> Result<BTreeMap<i32, i64>, ReadError> {
    ask(settings, group, topic, |consumer, topic, deadline| {
        let mut wanted = TopicPartitionList::new();
        for partition in partitions(consumer, topic, deadline)? {
            wanted.add_partition(topic, partition);
        }
        let committed = patiently(deadline, |left| {
            let committed = consumer.committed_offsets(wanted.clone(), left)?;
            committed.elements().iter().try_for_each(TopicPartitionListElem::error)?;
            Ok(committed)
        })?;
        let elements = committed.elements();
        let offset = |offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
        Ok(elements.iter().filter_map(|it| Some((it.partition(), offset(it.offset())?))).collect())
    })
    .await
}

/// Hands every record within `extents` to `on_record`, each partition in its order.
pub async fn read(
    settings: &KafkaSettings,
    topic: &str,
    extents: &[Extent],
    mut on_record: impl FnMut(Record),
) -> Result<(), ReadError> {
    let mut unread: HashMap<i32, Extent> = extents
        .iter()
        .filter(|extent| extent.start < extent.end)
        .map(|extent| (extent.partition, *extent))
        .collect();
    if unread.is_empty() {
        return Ok(());
    }
    let consumer: StreamConsumer<_> =
        client(settings, "topic-reader").create_with_context(QuietContext)?;
    let mut assignment = TopicPartitionList::new();
    for Extent { partition, start, .. } in unread.values() {
        assignment.add_partition_offset(topic, *partition, Offset::Offset(*start))?;
    }
    consumer.assign(&assignment)?;
    // Errors keep coming while a broker is away: only records count as a sign of life.
    let mut heard = tokio::time::Instant::now();
    while !unread.is_empty() {
        match timeout_at(heard + SILENCE, consumer.recv()).await {
            Ok(Ok(message)) => {
                heard = tokio::time::Instant::now();
                let record = Record::read(&message);
                let Some(extent) = unread.get_mut(&record.partition) else { continue };
                extent.start = record.offset + 1;
                let (inside, done) = (record.offset < extent.end, extent.start >= extent.end);
                if done {
                    unread.remove(&record.partition);
                }
                if inside {
                    on_record(record);
                }
            }
            // The last offsets can be without a record, where a transaction was.
            Ok(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            // The client mends itself; an end to its patience is set by the silence.
            Ok(Err(error)) if !is_final(&error) => {
                tracing::debug!(%error, topic, "reading goes on");
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                let unread = unread.values().map(|extent| extent.end - extent.start).sum();
                return Err(ReadError::Silent { topic: topic.to_owned(), unread });
            }
        }
    }
    Ok(())
}

fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fatal
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

fn client(settings: &KafkaSettings, group: &str) -> rdkafka::ClientConfig {
    let mut config = settings.client("topic-reader");
    config
        // Asked about, never joined.
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", BUFFER_KBYTES)
        .set("queued.min.messages", BUFFER_RECORDS)
        .set("allow.auto.create.topics", "false");
    config
}

/// The client's questions block, so they are asked where that is allowed.
async fn ask<T: Send + 'static>(
    settings: &KafkaSettings,
    group: &str,
    topic: &str,
    question: impl FnOnce(&BaseConsumer<QuietContext>, &str, Instant) -> Result<T, ReadError>
    + Send
    + 'static,
) -> Result<T, ReadError> {
    let (config, topic) = (client(settings, group), topic.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer<_> = config.create_with_context(QuietContext)?;
        question(&consumer, &topic, Instant::now() + ANSWER_TIMEOUT)
    });
    asked.await.unwrap_or(Err(ReadError::Unavailable(KafkaError::Canceled)))
}

fn partitions(
    consumer: &BaseConsumer<QuietContext>,
    topic: &str,
    deadline: Instant,
) -> Result<Vec<i32>, ReadError> {
    let metadata = consumer.fetch_metadata(Some(topic), left(deadline)?)?;
    let known = metadata.topics().iter().find(|it| it.name() == topic && it.error().is_none());
    let known = known.ok_or_else(|| ReadError::NoTopic(topic.to_owned()))?;
    let mut partitions: Vec<i32> = known.partitions().iter().map(MetadataPartition::id).collect();
    partitions.sort_unstable();
    Ok(partitions)
}

/// Asks again while the cluster is finding out who can answer.
fn patiently<T>(
    deadline: Instant,
    mut question: impl FnMut(Duration) -> Result<T, KafkaError>,
) -> Result<T, KafkaError> {
    loop {
        match question(left(deadline)?) {
            Err(error) if is_passing(&error) => std::thread::sleep(FIRST_WAIT),
            answer => return answer,
        }
    }
}

fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotLeaderForPartition
        )
    )
}

fn left(deadline: Instant) -> Result<Duration, KafkaError> {
    let left = deadline.saturating_duration_since(Instant::now());
    let late = KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut);
    if left.is_zero() { Err(late) } else { Ok(left) }
}
