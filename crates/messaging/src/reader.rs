//! Reads ranges of a topic without joining a consumer group.
//!
//! An operator's command reads a topic while services write to it, so the end of the range is fixed
//! beforehand. The reader joins no group: it neither causes nor waits for a rebalance. Progress, if
//! any, is stored as the committed offsets of a group without members.
//!
//! Every call ends within [`BROKER_TIMEOUT`]. Blocking client calls run on separate threads, and callers
//! do not wait for these threads to end: librdkafka waits forever for a coordinator that does not
//! return.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer, ConsumerContext, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};
use service_kit::retry::RetrySchedule;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use crate::client::context::{QuietContext, or_auth_failure};
use crate::topic_admin::{self, Topic, TopicAdminError};
use crate::{KafkaSettings, Record};

/// Timeout of one request to a broker.
const BROKER_TIMEOUT: Duration = Duration::from_secs(15);

type Client = StreamConsumer<QuietContext>;

impl ConsumerContext for QuietContext {}

/// A range of offsets in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetRange {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last one.
    pub to: i64,
}

impl OffsetRange {
    /// The number of offsets. Equal to the number of records, unless the topic is compacted or
    /// transactional.
    pub fn count(&self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or(0)
    }
}

/// The committed position of a group in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The next offset.
    pub next: i64,
    /// The metadata that was committed with the offset.
    pub metadata: String,
}

/// Why a topic could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client or a broker returned an error.
    #[error("cannot read from Kafka")]
    Kafka(#[from] KafkaError),
    /// The topic does not exist.
    #[error("there is no topic {0}")]
    UnknownTopic(String),
    /// No response within the timeout.
    #[error("no response from Kafka within {} seconds", BROKER_TIMEOUT.as_secs())]
    Timeout,
    /// Authentication failed on either side: a password or a certificate is wrong.
    #[error("Kafka authentication failed: {0}")]
    AuthenticationFailed(String),
}

/// The client requires a group id even for reads that commit nothing.
const NO_GROUP: &str = "topic-reader";

/// The records that are in the topic now, as one range per partition, by ascending partition.
pub async fn kept(settings: &KafkaSettings, topic: &str) -> Result<Vec<OffsetRange>, ReadError> {
    let mut ranges = TopicReader::new(settings, topic, NO_GROUP)?.kept().await?;
    ranges.sort_unstable_by_key(|range| range.partition);
    Ok(ranges)
}

/// The committed offset of a group for each of these partitions that has one. All records below it
/// are processed.
pub async fn committed(
    settings: &KafkaSettings,
    topic: &str,
    group: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<BTreeMap<i32, i64>, ReadError> {
    let positions = TopicReader::new(settings, topic, group)?.positions(partitions).await?;
    Ok(positions.into_iter().map(|position| (position.partition, position.next)).collect())
}

/// Passes every record of these ranges to `on_record`, in order within each partition.
pub async fn read(
    settings: &KafkaSettings,
    topic: &str,
    ranges: &[OffsetRange],
    mut on_record: impl FnMut(Record),
) -> Result<(), ReadError> {
    let mut reader = TopicReader::new(settings, topic, NO_GROUP)?;
    reader.begin(ranges)?;
    while let Some(record) = reader.next().await? {
        on_record(record);
    }
    Ok(())
}

/// Reads one topic.
pub struct TopicReader {
    /// `None` while the reader is dropped.
    client: Option<Arc<Client>>,
    settings: KafkaSettings,
    topic: String,
    /// The ranges that are not read yet.
    remaining: Vec<OffsetRange>,
}

impl TopicReader {
    /// A reader of `topic` with the committed positions of `group`. It connects in the background.
    pub fn new(settings: &KafkaSettings, topic: &str, group: &str) -> Result<Self, ReadError> {
        let client: Client = settings
            .client(group)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            // Prefetch less than the default of 64 MiB.
            .set("queued.max.messages.kbytes", "4096")
            .set("queued.min.messages", "10000")
            .create_with_context(QuietContext::default())?;
        let client = Some(Arc::new(client));
        Ok(Self {
            client,
            settings: settings.clone(),
            topic: topic.to_owned(),
            remaining: Vec::new(),
        })
    }

    /// A reader of another topic with the same client and group. Only one of them at a time may read
    /// records.
    #[must_use]
    pub fn of(&self, topic: &str) -> Self {
        let (client, settings) = (self.client.clone(), self.settings.clone());
        Self { client, settings, topic: topic.to_owned(), remaining: Vec::new() }
    }

    /// The topics of the cluster, by name, without Kafka's internal ones.
    pub async fn topics(&self) -> Result<Vec<Topic>, TopicAdminError> {
        let listed = self.run_blocking(|client| {
            Ok(topic_admin::visible(&client.fetch_metadata(None, BROKER_TIMEOUT)?))
        });
        listed.await.map_err(|error| match error {
            ReadError::AuthenticationFailed(reason) => {
                TopicAdminError::AuthenticationFailed(reason)
            }
            ReadError::Kafka(error) => error.into(),
            ReadError::Timeout | ReadError::UnknownTopic(_) => {
                KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut).into()
            }
        })
    }

    /// The records that are in the topic now, as one range per partition.
    pub async fn kept(&self) -> Result<Vec<OffsetRange>, ReadError> {
        let topic = self.topic.clone();
        self.run_blocking(move |client| {
            let metadata = client.fetch_metadata(Some(&topic), BROKER_TIMEOUT)?;
            let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            let ranges = partitions.map(|partition| {
                let (from, to) = client.fetch_watermarks(&topic, partition.id(), BROKER_TIMEOUT)?;
                Ok(OffsetRange { partition: partition.id(), from, to })
            });
            let ranges = ranges.collect::<Result<Vec<_>, KafkaError>>()?;
            if ranges.is_empty() { Err(ReadError::UnknownTopic(topic.clone())) } else { Ok(ranges) }
        })
        .await
    }

    /// Moves the beginnings of ranges to their first records that were written at or after this time,
    /// in milliseconds since 1970.
    pub async fn skip_before(
        &self,
        timestamp_ms: i64,
        ranges: &mut [OffsetRange],
    ) -> Result<(), ReadError> {
        let mut times = TopicPartitionList::new();
        for range in ranges.iter() {
            let at = Offset::Offset(timestamp_ms);
            times.add_partition_offset(&self.topic, range.partition, at)?;
        }
        let found = self
            .run_blocking(
                move |client| Ok(client.offsets_for_times(times.clone(), BROKER_TIMEOUT)?),
            )
            .await?;
        for range in ranges {
            let element = found.find_partition(&self.topic, range.partition);
            range.from = match element.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => offset.clamp(range.from, range.to),
                // No record is as new.
                _ => range.to,
            };
        }
        Ok(())
    }

    /// The committed positions of the group. Partitions without a committed offset are omitted.
    pub async fn positions(
        &self,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<Vec<Position>, ReadError> {
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(&self.topic, partition);
        }
        self.run_blocking(move |client| {
            let committed = client.committed_offsets(asked.clone(), BROKER_TIMEOUT)?;
            let elements = committed.elements();
            let positions = elements.iter().filter_map(|element| {
                let (partition, metadata) = (element.partition(), element.metadata().to_owned());
                match element.offset() {
                    Offset::Offset(next) => Some(Position { partition, next, metadata }),
                    _ => None,
                }
            });
            Ok(positions.collect())
        })
        .await
    }

    /// Commits positions, and returns after the broker has stored them.
    pub async fn commit(&self, positions: &[Position]) -> Result<(), ReadError> {
        let mut offsets = TopicPartitionList::new();
        for Position { partition, next, metadata } in positions {
            let mut element = offsets.add_partition(&self.topic, *partition);
            element.set_offset(Offset::Offset(*next))?;
            element.set_metadata(metadata);
        }
        self.run_blocking(move |client| Ok(client.commit(&offsets, CommitMode::Sync)?)).await
    }

    /// Selects the ranges that [`Self::next`] reads.
    pub fn begin(&mut self, ranges: &[OffsetRange]) -> Result<(), ReadError> {
        self.remaining = ranges.iter().copied().filter(|range| range.count() > 0).collect();
        let mut assignment = TopicPartitionList::new();
        for range in &self.remaining {
            let from = Offset::Offset(range.from);
            assignment.add_partition_offset(&self.topic, range.partition, from)?;
        }
        self.client().assign(&assignment)?;
        Ok(())
    }

    /// The next record. `None` when all ranges are read.
    pub async fn next(&mut self) -> Result<Option<Record>, ReadError> {
        let deadline = Instant::now() + BROKER_TIMEOUT;
        while !self.remaining.is_empty() {
            let received = timeout_at(deadline, self.client().recv()).await;
            let received = received.map_err(|_| ReadError::Timeout)?.map(|it| Record::read(&it));
            match received {
                Ok(record) => {
                    if self.accept(record.partition, record.offset) {
                        return Ok(Some(record));
                    }
                }
                // The end of the partition without the last offset of the range: the topic is
                // compacted, or the offset is a transaction marker.
                Err(KafkaError::PartitionEOF(partition)) => {
                    let reached = self.position(partition);
                    // Before the end of the range, a new leader has not caught up yet, and the rest
                    // will arrive.
                    self.remaining.retain(|range| {
                        range.partition != partition || reached.is_some_and(|it| it < range.to)
                    });
                }
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The next offset of a partition, once a record of it was read.
    fn position(&self, partition: i32) -> Option<i64> {
        let positions = self.client().position().ok()?;
        match positions.find_partition(&self.topic, partition)?.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }
    }

    /// Whether a record is within the ranges to read. The last record of a range completes it.
    fn accept(&mut self, partition: i32, offset: i64) -> bool {
        let Some(place) = self.remaining.iter().position(|range| range.partition == partition)
        else {
            return false;
        };
        let wanted = offset < self.remaining[place].to;
        if offset + 1 >= self.remaining[place].to {
            self.remaining.swap_remove(place);
        }
        wanted
    }

    /// Runs a blocking client call on a separate thread. Retries it while its error is transient.
    async fn run_blocking<T: Send + 'static>(
        &self,
        operation: impl Fn(&Client) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let client = Arc::clone(self.client());
        let (answer, answered) = oneshot::channel();
        let thread = std::thread::Builder::new().name("kafka-request".to_owned());
        let asked = thread.spawn(move || {
            let mut schedule = RetrySchedule::default();
            let answered = loop {
                match operation(&client) {
                    // The channel is closed after the timeout.
                    Err(ReadError::Kafka(error)) if is_transient(&error) && !answer.is_closed() => {
                        std::thread::sleep(schedule.next_wait());
                    }
                    answered => break answered,
                }
            };
            let _ = answer.send(answered);
        });
        asked.map_err(|_| KafkaError::Canceled)?;
        let answered = or_auth_failure(&self.settings, timeout(BROKER_TIMEOUT, answered)).await;
        let answer =
            answered.map_err(ReadError::AuthenticationFailed)?.map_err(|_| ReadError::Timeout)?;
        answer.unwrap_or(Err(ReadError::Kafka(KafkaError::Canceled)))
    }

    fn client(&self) -> &Arc<Client> {
        match &self.client {
            Some(client) => client,
            None => unreachable!("only drop removes the client"),
        }
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        let client = self.client.take();
        let thread = std::thread::Builder::new().name("kafka-close".to_owned());
        // If no thread can start, the client is dropped here, which may block.
        let _ = thread.spawn(move || drop(client));
    }
}

/// Whether the client recovers from the error by itself. The caller's deadline limits the wait.
fn is_transient(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::WaitingForCoordinator
                | RDKafkaErrorCode::NotLeaderForPartition
        )
    )
}
