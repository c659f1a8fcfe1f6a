//! Reading a part of a topic, from one place to another, without being a member of a group.
//!
//! An operator's command looks at a topic that services write to meanwhile, so it says beforehand where it ends. It
//! joins no group: nobody's partitions move for it, and it has not to wait for its turn. Progress, where there is any,
//! is kept as the committed offsets of a group that has no members.
//!
//! Every call ends within [`PATIENCE`]. Those of the client that block run on threads of their own, which nobody has to
//! wait for: librdkafka waits for a coordinator that never comes back without an end.

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

use crate::context::{QuietContext, unless_refused};
use crate::{KafkaSettings, Record};

/// The longest that one answer of a broker may take.
const PATIENCE: Duration = Duration::from_secs(15);

type Client = StreamConsumer<QuietContext>;

impl ConsumerContext for QuietContext {}

/// A part of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last one.
    pub to: i64,
}

impl Span {
    /// How many offsets it has; as many as records, unless the topic is compacted or transactional.
    pub fn count(&self) -> u64 {
        u64::try_from(self.to - self.from).unwrap_or(0)
    }
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The partition.
    pub partition: i32,
    /// The offset that comes next.
    pub next: i64,
    /// What the one who committed it left with it.
    pub note: String,
}

/// Why a topic could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The client or a broker refused.
    #[error("Kafka cannot be read")]
    Kafka(#[from] KafkaError),
    /// No broker knows the topic.
    #[error("there is no topic {0}")]
    UnknownTopic(String),
    /// Nothing came in time.
    #[error("Kafka did not answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// A password or a certificate is wrong, on either side.
    #[error("Kafka does not let this client in: {0}")]
    NotLetIn(String),
}

/// Whoever only looks is no group; the client wants a name all the same.
const NO_GROUP: &str = "topic-reader";

/// Everything that is in a topic now, by ascending number of the partition.
pub async fn kept(settings: &KafkaSettings, topic: &str) -> Result<Vec<Span>, ReadError> {
    let mut spans = TopicReader::new(settings, topic, NO_GROUP)?.kept().await?;
    spans.sort_unstable_by_key(|span| span.partition);
    Ok(spans)
}

/// The offset that a group has committed for each of these partitions of a topic, where it has committed one: everything
/// below it is done with.
pub async fn committed(
    settings: &KafkaSettings,
    topic: &str,
    group: &str,
    partitions: impl IntoIterator<Item = i32>,
) -> Result<BTreeMap<i32, i64>, ReadError> {
    let positions = TopicReader::new(settings, topic, group)?.positions(partitions).await?;
    Ok(positions.into_iter().map(|position| (position.partition, position.next)).collect())
}

/// Hands every record of these parts of a topic to `on_record`, each partition in its order.
pub async fn read(
    settings: &KafkaSettings,
    topic: &str,
    spans: &[Span],
    mut on_record: impl FnMut(Record),
) -> Result<(), ReadError> {
    let mut reader = TopicReader::new(settings, topic, NO_GROUP)?;
    reader.begin(spans)?;
    while let Some(record) = reader.next().await? {
        on_record(record);
    }
    Ok(())
}

/// Reads one topic.
pub struct TopicReader {
    /// `None` once it is on its way out.
    client: Option<Arc<Client>>,
    settings: KafkaSettings,
    topic: String,
    /// What is still to be read.
    ahead: Vec<Span>,
}

impl TopicReader {
    /// A reader of `topic`, whose positions are those of `group`; it connects by itself.
    pub fn new(settings: &KafkaSettings, topic: &str, group: &str) -> Result<Self, ReadError> {
        let client: Client = settings
            .client(group)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            // Read ahead, but not the 64 MiB of the default.
            .set("queued.max.messages.kbytes", "4096")
            .set("queued.min.messages", "10000")
            .create_with_context(QuietContext::default())?;
        let client = Some(Arc::new(client));
        Ok(Self { client, settings: settings.clone(), topic: topic.to_owned(), ahead: Vec::new() })
    }

    /// Everything that is in the topic now.
    pub async fn kept(&self) -> Result<Vec<Span>, ReadError> {
        let topic = self.topic.clone();
        self.ask(move |client| {
            let metadata = client.fetch_metadata(Some(&topic), PATIENCE)?;
            let partitions = metadata.topics().iter().flat_map(MetadataTopic::partitions);
            let spans = partitions.map(|partition| {
                let (from, to) = client.fetch_watermarks(&topic, partition.id(), PATIENCE)?;
                Ok(Span { partition: partition.id(), from, to })
            });
            let spans = spans.collect::<Result<Vec<_>, KafkaError>>()?;
            if spans.is_empty() { Err(ReadError::UnknownTopic(topic.clone())) } else { Ok(spans) }
        })
        .await
    }

    /// How far the group has come; partitions in which it has never committed are left out.
    pub async fn positions(
        &self,
        partitions: impl IntoIterator<Item = i32>,
    ) -> Result<Vec<Position>, ReadError> {
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(&self.topic, partition);
        }
        self.ask(move |client| {
            let committed = client.committed_offsets(asked.clone(), PATIENCE)?;
            let elements = committed.elements();
            let positions = elements.iter().filter_map(|element| {
                let (partition, note) = (element.partition(), element.metadata().to_owned());
                match element.offset() {
                    Offset::Offset(next) => Some(Position { partition, next, note }),
                    _ => None,
                }
            });
            Ok(positions.collect())
        })
        .await
    }

    /// Keeps how far the group has come, and returns once the broker has it.
    pub async fn commit(&self, positions: &[Position]) -> Result<(), ReadError> {
        let mut offsets = TopicPartitionList::new();
        for Position { partition, next, note } in positions {
            let mut element = offsets.add_partition(&self.topic, *partition);
            element.set_offset(Offset::Offset(*next))?;
            element.set_metadata(note);
        }
        self.ask(move |client| Ok(client.commit(&offsets, CommitMode::Sync)?)).await
    }

    /// Reads these parts next, and nothing else.
    pub fn begin(&mut self, spans: &[Span]) -> Result<(), ReadError> {
        self.ahead = spans.iter().copied().filter(|span| span.count() > 0).collect();
        let mut assignment = TopicPartitionList::new();
        for span in &self.ahead {
            let from = Offset::Offset(span.from);
            assignment.add_partition_offset(&self.topic, span.partition, from)?;
        }
        self.client().assign(&assignment)?;
        Ok(())
    }

    /// The next record; `None` when everything was read.
    pub async fn next(&mut self) -> Result<Option<Record>, ReadError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.ahead.is_empty() {
            let received = timeout_at(deadline, self.client().recv()).await;
            let received = received.map_err(|_| ReadError::Silent)?.map(|it| Record::read(&it));
            match received {
                Ok(record) => {
                    if self.pass(record.partition, record.offset) {
                        return Ok(Some(record));
                    }
                }
                // Nothing is left, though the offsets go on: a compacted topic, or a mark of a transaction.
                Err(KafkaError::PartitionEOF(partition)) => {
                    let reached = self.position(partition);
                    // Short of the end, a new leader has not caught up yet: the rest will come.
                    self.ahead.retain(|span| {
                        span.partition != partition || reached.is_some_and(|it| it < span.to)
                    });
                }
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The offset that comes next in a partition, once something of it was read.
    fn position(&self, partition: i32) -> Option<i64> {
        let positions = self.client().position().ok()?;
        match positions.find_partition(&self.topic, partition)?.offset() {
            Offset::Offset(next) => Some(next),
            _ => None,
        }
    }

    /// Whether a record belongs to what is to be read. With the last one of a span, the span is done.
    fn pass(&mut self, partition: i32, offset: i64) -> bool {
        let Some(place) = self.ahead.iter().position(|span| span.partition == partition) else {
            return false;
        };
        let wanted = offset < self.ahead[place].to;
        if offset + 1 >= self.ahead[place].to {
            self.ahead.swap_remove(place);
        }
        wanted
    }

    /// Asks a question that blocks, again and again while a broker is not ready to answer it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&Client) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let client = Arc::clone(self.client());
        let (answer, answered) = oneshot::channel();
        let thread = std::thread::Builder::new().name("kafka-question".to_owned());
        let asked = thread.spawn(move || {
            let mut schedule = RetrySchedule::default();
            let answered = loop {
                match question(&client) {
                    // Nobody listens after the timeout.
                    Err(ReadError::Kafka(error)) if passes(&error) && !answer.is_closed() => {
                        std::thread::sleep(schedule.next_wait());
                    }
                    answered => break answered,
                }
            };
            let _ = answer.send(answered);
        });
        asked.map_err(|_| KafkaError::Canceled)?;
        let answered = unless_refused(&self.settings, timeout(PATIENCE, answered)).await;
        let answer = answered.map_err(ReadError::NotLetIn)?.map_err(|_| ReadError::Silent)?;
        answer.unwrap_or(Err(ReadError::Kafka(KafkaError::Canceled)))
    }

    fn client(&self) -> &Arc<Client> {
        match &self.client {
            Some(client) => client,
            None => unreachable!("only the end takes the client away"),
        }
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        let client = self.client.take();
        let thread = std::thread::Builder::new().name("kafka-farewell".to_owned());
        // Without a thread to spare it is dropped here, and may take its time.
        let _ = thread.spawn(move || drop(client));
    }
}

/// The client mends itself; whether in time, the deadline decides.
fn passes(error: &KafkaError) -> bool {
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

impl std::fmt::Debug for TopicReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TopicReader").field("topic", &self.topic).finish_non_exhaustive()
    }
}
