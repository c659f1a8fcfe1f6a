//! The loop around a handler.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use contracts::envelope::Envelope;
use futures::FutureExt;
use futures::future::BoxFuture;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use service_kit::Chain;
use service_kit::outage::Outage;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::client::GroupMember;
use super::handler::{Handler, HandlerError};
use super::rebalance::RebalanceContext;
use crate::dead_letter::{DeadLetters, Verdict};
use crate::{KafkaSettings, Record};

/// What a runner reads, and how.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The name of this member, where it has one that outlives a restart; then a restart moves no partition.
    pub instance: Option<String>,
    /// The most records that are handled together.
    pub batch_size: usize,
}

/// Why a runner could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The client was misconfigured.
    #[error("the Kafka client cannot be made")]
    Client(#[from] KafkaError),
    /// The client can never read again, for example because another instance took its name.
    #[error("the Kafka client gave up: {0}")]
    Fatal(String),
}

/// The shutdown came while a batch waited for something that is away.
struct Stopped;

/// Reads a topic for a group and feeds a handler.
pub struct Runner<H> {
    consumer: GroupMember,
    dead_letters: DeadLetters,
    handler: H,
    options: RunnerOptions,
    /// What arrived while a batch was waiting to be tried again.
    early: VecDeque<Record>,
    /// An error that came while a batch was gathered.
    held_error: Option<KafkaError>,
    paused: bool,
}

impl<H: Handler> Runner<H> {
    /// Subscribes; the client connects by itself.
    pub fn new(
        settings: &KafkaSettings,
        options: RunnerOptions,
        handler: H,
    ) -> Result<Self, ConsumerError> {
        let mut config = settings.client(&options.group);
        config
            .set("group.id", &options.group)
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            // An offset is stored by hand, after the effect.
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            // What is read ahead: some batches, however large the backlog. By default it is 64 MB and more.
            .set("queued.min.messages", "5000")
            .set("queued.max.messages.kbytes", "8192")
            .set("fetch.max.bytes", "4194304")
            // A topic that is made later is noticed soon.
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("allow.auto.create.topics", "false");
        if let Some(instance) = &options.instance {
            config.set("group.instance.id", instance);
        }
        let consumer: StreamConsumer<_> = config.create_with_context(RebalanceContext)?;
        let consumer = GroupMember::new(consumer);
        consumer.subscribe(&[&options.topic])?;
        let dead_letters = DeadLetters::new(settings, &options.group)?;
        Ok(Self {
            consumer,
            dead_letters,
            handler,
            options,
            early: VecDeque::new(),
            held_error: None,
            paused: false,
        })
    }

    /// A check for a readiness endpoint: whether a broker answers.
    pub fn probe(&self) -> impl Fn() -> BoxFuture<'static, bool> + Send + Sync + 'static {
        self.dead_letters.probe()
    }

    /// Reads and handles until `shutdown`, or until the client can never read again. What is in hand is finished
    /// first, unless it waits for something that is away: that comes again, since its offset was not stored.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), ConsumerError> {
        let mut outage = Outage::of("kafka");
        while let Some(next) = shutdown.run_until_cancelled(self.next_batch()).await {
            match next {
                Ok(batch) => {
                    outage.over();
                    let offsets = last_offsets(&batch);
                    if self.process(batch, &shutdown).await.is_ok() {
                        self.store_offsets(&offsets);
                    }
                }
                // The client mends itself, but only while it is polled: its errors queue up in front of the
                // rebalance that brings it back. So this is no place to wait.
                Err(error) => {
                    metrics::counter!("consumer_errors_total", "topic" => self.options.topic.clone()).increment(1);
                    outage.failed(&error);
                    if let Some((_, reason)) = self.consumer.client().fatal_error() {
                        return Err(ConsumerError::Fatal(reason));
                    }
                }
            }
        }
        self.consumer.leave().await;
        Ok(())
    }

    /// Waits for a record, then takes what is there already, without waiting for more.
    async fn next_batch(&mut self) -> Result<Vec<Record>, KafkaError> {
        if let Some(error) = self.held_error.take() {
            return Err(error);
        }
        let early = self.early.len().min(self.options.batch_size);
        let mut batch: Vec<Record> = self.early.drain(..early).collect();
        if batch.is_empty() {
            batch.push(Record::read(&self.consumer.recv().await?));
        }
        while batch.len() < self.options.batch_size {
            match self.consumer.recv().now_or_never() {
                Some(Ok(message)) => batch.push(Record::read(&message)),
                Some(Err(error)) => {
                    // After what was read before it.
                    self.held_error = Some(error);
                    break;
                }
                None => break,
            }
        }
        Ok(batch)
    }

    /// Handles a batch to the end: each of its records has had its effect, or is a dead letter.
    async fn process(
        &mut self,
        batch: Vec<Record>,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let (started, count) = (Instant::now(), batch.len());
        metrics::histogram!("consumer_batch_size", "topic" => self.options.topic.clone())
            .record(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        let (mut records, mut events, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for record in batch {
            let header = |name: &str| record.header(name);
            match Envelope::decode(record.key.as_deref(), record.value.as_deref(), header) {
                Ok(event) => {
                    events.push(event);
                    records.push(record);
                }
                Err(error) => unreadable.push((record, error)),
            }
        }
        self.handle_in_halves(&records, &events, shutdown).await?;
        // Last, when nothing can bring the batch back any more: each is put aside once.
        for (record, error) in unreadable {
            let message = Chain(&error).to_string();
            self.bury(&record, Verdict { class: error.class(), message }, shutdown).await?;
        }
        self.resume();
        metrics::counter!("consumer_records_total", "topic" => self.options.topic.clone())
            .increment(count as u64);
        metrics::histogram!("consumer_batch_duration_seconds", "topic" => self.options.topic.clone())
            .record(started.elapsed());
        Ok(())
    }

    /// Hands over everything at once. Where that can never succeed, each half is tried by itself, first half
    /// first, down to the one record that is at fault.
    async fn handle_in_halves(
        &mut self,
        records: &[Record],
        events: &[Envelope<H::Event>],
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut outage = Outage::of("handler");
        let mut parts: Vec<Range<usize>> = Vec::new();
        parts.push(0..events.len());
        while let Some(part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            match self.handle(&events[part.clone()]).await {
                Ok(()) => outage.over(),
                Err(HandlerError::Transient(error)) => {
                    let wait = outage.failed(&*error);
                    parts.push(part);
                    self.wait(wait, shutdown).await?;
                }
                Err(HandlerError::Permanent { class, source }) if part.len() == 1 => {
                    let message = Chain(&*source).to_string();
                    self.bury(&records[part.start], Verdict { class, message }, shutdown).await?;
                }
                Err(HandlerError::Permanent { .. }) => {
                    let middle = part.start + part.len() / 2;
                    parts.extend([middle..part.end, part.start..middle]);
                }
            }
        }
        Ok(())
    }

    /// A handler that panics is as good as one that says "never".
    async fn handle(&self, events: &[Envelope<H::Event>]) -> Result<(), HandlerError> {
        AssertUnwindSafe(self.handler.handle(events)).catch_unwind().await.unwrap_or_else(|panic| {
            Err(HandlerError::Permanent { class: "panic", source: panic_message(&*panic).into() })
        })
    }

    /// Puts a record aside. It never gives up: a record that is in neither place would be lost.
    async fn bury(
        &mut self,
        record: &Record,
        verdict: Verdict,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let mut outage = Outage::of("dead letter topic");
        while let Err(error) = self.dead_letters.store(record, &verdict).await {
            let wait = outage.failed(&error);
            self.wait(wait, shutdown).await?;
        }
        outage.over();
        Ok(())
    }

    /// Waits, and polls all the while, so that the group does not take this member for dead. Nothing new is
    /// fetched; what is on its way already is kept for the next batch.
    async fn wait(
        &mut self,
        duration: Duration,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let end = Instant::now() + duration;
        self.pause();
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(Stopped),
                () = sleep_until(end) => return Ok(()),
                received = self.consumer.recv() => {
                    // An error says that Kafka is away as well; what is waited for is something else.
                    self.early.extend(received.ok().as_ref().map(Record::read));
                }
            }
        }
    }

    /// Again at each wait: partitions can have been assigned since the last one.
    fn pause(&mut self) {
        self.paused = true;
        if let Err(error) = self.consumer.assignment().and_then(|all| self.consumer.pause(&all)) {
            tracing::warn!(%error, "partitions not paused");
        }
    }

    fn resume(&mut self) {
        if !std::mem::take(&mut self.paused) {
            return;
        }
        if let Err(error) = self.consumer.assignment().and_then(|all| self.consumer.resume(&all)) {
            tracing::warn!(%error, "partitions not resumed");
        }
    }

    /// Stores, for the next commit, how far each partition is done. A partition that was lost meanwhile belongs to
    /// somebody else, who will see these records again.
    fn store_offsets(&self, offsets: &BTreeMap<i32, i64>) {
        for (partition, offset) in offsets {
            match self.consumer.store_offset(&self.options.topic, *partition, *offset) {
                Ok(()) | Err(KafkaError::StoreOffset(RDKafkaErrorCode::State)) => {}
                Err(error) => {
                    tracing::warn!(%error, partition, "offset not stored, records will come again");
                }
            }
        }
    }
}

impl<H> std::fmt::Debug for Runner<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The last offset of each partition in a batch.
fn last_offsets(batch: &[Record]) -> BTreeMap<i32, i64> {
    batch.iter().map(|record| (record.partition, record.offset)).collect()
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "panicked".to_owned())
}
