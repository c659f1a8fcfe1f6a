//! The loop around a handler.

mod handle_poison;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::AssertUnwindSafe;

use contracts::envelope::Envelope;
use futures::FutureExt;
use rdkafka::error::KafkaError;
use service_kit::Chain;
use service_kit::convert;
use service_kit::credentials::Watched;
use service_kit::health::ProbeFuture;
use service_kit::retry::FIRST_WAIT;
use service_kit::retry::outage::Outage;
use service_kit::telemetry::batch_tracer::{RecordedSpan, batch_tracer};
use service_kit::telemetry::metrics::catalogue;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Bisection};
use super::handler::{Handler, HandlerError};
use super::lag::Lag;
use super::member::GroupMember;
use super::offsets::{Assignment, Fetched, RecordPosition};
use super::progress::Progress;
use super::rebalance::RebalanceContext;
use super::settings::RunnerOptions;
use super::source::{Source, Stopped};
use crate::client::context::QuietContext;
use crate::dead_letter::{DeadLetterReason, DeadLetters};
use crate::{KafkaSettings, PoisonBreaker, spans};

/// Why a runner could not be created, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The client configuration is invalid.
    #[error("cannot create the Kafka client")]
    Client(#[from] KafkaError),
    /// A fatal client error, for example because another instance uses the same member name.
    #[error("fatal Kafka client error: {0}")]
    Fatal(String),
    /// Authentication failed on either side: a password or a certificate is wrong.
    #[error("Kafka authentication failed: {0}")]
    AuthenticationFailed(String),
}

/// Reads a topic as a member of a group, and passes the events to a handler.
pub struct Runner<H> {
    settings: KafkaSettings,
    options: RunnerOptions,
    context: RebalanceContext,
    credentials: Watched,
    source: Source,
    dead_letters: DeadLetters,
    handler: H,
    progress: Progress,
    breaker: PoisonBreaker,
}

/// A record that can never be processed, and the reason.
type PoisonRecord = (Fetched, DeadLetterReason);

impl<H: Handler> Runner<H> {
    /// Subscribes to the topic. The client connects in the background.
    pub fn new(
        settings: &KafkaSettings,
        options: RunnerOptions,
        handler: H,
    ) -> Result<Self, ConsumerError> {
        let context = RebalanceContext {
            assignment: Assignment::default(),
            lag: Lag::of(&options.topic),
            heartbeat: options.heartbeat.clone(),
            client: QuietContext::default(),
        };
        let credentials = Watched::new(settings.security.files());
        let member = GroupMember::new(settings, &options, context.clone())?.join(&options.topic)?;
        let source = Source::new(member, context.assignment.clone(), &options);
        Ok(Self {
            settings: settings.clone(),
            context,
            credentials,
            source,
            dead_letters: DeadLetters::new(settings, &options.topic, &options.group)?,
            handler,
            progress: Progress::default(),
            breaker: PoisonBreaker::new(&options.member.poison),
            options,
        })
    }

    /// A readiness check: whether a broker responds.
    pub fn probe(&self) -> impl Fn() -> ProbeFuture + Send + Sync + 'static {
        self.dead_letters.probe()
    }

    /// A readiness check: whether records are processed, or there are none.
    pub fn progress(&self) -> impl Fn() -> ProbeFuture + Send + Sync + 'static {
        self.progress.probe()
    }

    /// Reads and handles records until `shutdown`, or until a fatal client error. Finishes the
    /// current batch first, unless it waits for something unavailable: then the batch is delivered
    /// again, because its offsets were not stored.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), ConsumerError> {
        catalogue::begin_for("topic", &self.options.topic);
        let mut outage = Outage::of("kafka");
        loop {
            let next = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.credentials.changed() => {
                    tracing::info!("certificates changed; rejoining the group");
                    self.rejoin().await?;
                    continue;
                }
                () = self.context.client.lost.cancelled() => {
                    self.rejoin().await?;
                    continue;
                }
                next = self.source.next_batch() => next,
                // Last, so that all records that have arrived are handled first.
                skipped = self.context.assignment.skipped() => {
                    self.source.store(&skipped);
                    continue;
                }
            };
            match next {
                Ok(batch) => {
                    outage.over();
                    self.context.client.auth_failure.over();
                    self.source.report_gaps().await;
                    // A stop leaves the offsets of this batch unstored.
                    let _: Result<(), Stopped> = self.process(batch, &shutdown).await;
                }
                // The client recovers by itself, but only while it is polled: its errors are queued
                // before the rebalance that restores it. So do not wait here.
                Err(error) => {
                    metrics::counter!("consumer_errors_total", "topic" => self.options.topic.clone())
                        .increment(1);
                    match self.context.client.auth_failure.reason() {
                        Some(reason) => outage.failed(&ConsumerError::AuthenticationFailed(reason)),
                        None => outage.failed(&error),
                    };
                    if let Some(reason) = self.source.fatal_error() {
                        return Err(ConsumerError::Fatal(reason));
                    }
                }
            }
        }
        self.source.leave().await;
        Ok(())
    }

    /// Replaces the client: it has lost all brokers, or its certificates have changed, which a
    /// client reads only when it is created. The new client joins the group again.
    async fn rejoin(&mut self) -> Result<(), ConsumerError> {
        let assignment = Assignment::default();
        let client = QuietContext::new(self.context.client.auth_failure.clone());
        let context =
            RebalanceContext { assignment: assignment.clone(), client, ..self.context.clone() };
        let member = match GroupMember::new(&self.settings, &self.options, context.clone()) {
            Ok(member) => member,
            Err(error) => {
                tracing::error!(%error, "the Kafka client cannot be replaced; keeping the old one");
                sleep(FIRST_WAIT).await;
                return Ok(());
            }
        };
        self.source.leave().await;
        // Ignores later callbacks of the old client: its partitions are no longer assigned to it.
        self.context.assignment.retire();
        self.source.switch_to(member.join(&self.options.topic)?, assignment);
        self.context = context;
        self.credentials.accept();
        Ok(())
    }

    /// Handles a batch to the end, and only then stores its offsets. At the end, each record has
    /// had its effect, is a dead letter, or belongs to another member.
    async fn process(
        &mut self,
        mut records: Vec<Fetched>,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let (started, count) = (Instant::now(), records.len());
        metrics::histogram!("consumer_batch_size", "topic" => self.options.topic.clone())
            .record(convert::count(count));
        let positions: Vec<RecordPosition> = records.iter().map(Fetched::position).collect();
        self.context.assignment.begin(&positions);
        // The span of the batch ends when this is dropped. The span of a record ends with the
        // record.
        let _span = self.begin_spans(&mut records);
        let poison = self.attempt(records, shutdown).await?;
        // Last, when the batch cannot be retried any more, so that each record is dead-lettered
        // once.
        self.handle_poison(poison, count, shutdown).await?;
        self.progress.made();
        self.source.store(&self.context.assignment.finish(&positions));
        self.source.resume();
        self.options.heartbeat.beat();
        metrics::counter!("consumer_records_total", "topic" => self.options.topic.clone())
            .increment(count as u64);
        metrics::histogram!("consumer_batch_duration_seconds", "topic" => self.options.topic.clone())
            .record(started.elapsed());
        Ok(())
    }

    /// Begins the span of each record whose trace is sampled. Returns the span of the batch, if it
    /// has more than one record.
    fn begin_spans(&self, records: &mut [Fetched]) -> Option<RecordedSpan> {
        let tracer = batch_tracer()?;
        let count = records.len();
        let mut batch = None;
        for fetched in records {
            let record = &fetched.record;
            if let Some(trace) = spans::sampled_trace(record) {
                if batch.is_none() && count > 1 {
                    batch =
                        spans::begin_batch(tracer, &self.options.topic, &self.options.group, count);
                }
                fetched.span = spans::begin_process(
                    tracer,
                    record,
                    &trace,
                    &self.options.group,
                    batch.as_ref(),
                );
            }
        }
        batch
    }

    /// Decodes and handles records. Returns the poison.
    async fn attempt(
        &mut self,
        records: Vec<Fetched>,
        shutdown: &CancellationToken,
    ) -> Result<Vec<PoisonRecord>, Stopped> {
        let (batch, unreadable) = Batch::read(records);
        let mut poison = self.handle_all(batch, shutdown).await?;
        poison.extend(unreadable);
        Ok(poison)
    }

    /// Hands the whole batch to the handler. After a permanent error, tries each half by itself,
    /// first half first, down to the single records that cause the error. Returns those.
    async fn handle_all(
        &mut self,
        batch: Batch<H::Event>,
        shutdown: &CancellationToken,
    ) -> Result<Vec<PoisonRecord>, Stopped> {
        let mut poison = Vec::new();
        let mut outage = Outage::of("handler");
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            // Partitions can be revoked while the batch is read, or during a wait. Their records
            // belong to the next owner.
            part.retain(|fetched| self.context.assignment.still_includes(fetched));
            if part.is_empty() {
                continue;
            }
            self.options.heartbeat.beat();
            match self.handle(part.events()).await {
                Ok(()) => outage.over(),
                Err(HandlerError::Transient(error)) => {
                    self.progress.waits_for(&*error);
                    self.source.wait(outage.failed(&*error), shutdown).await?;
                    parts.push(part);
                }
                Err(HandlerError::Permanent { class, source }) => match part.bisect() {
                    Bisection::Halves(first, second) => parts.extend([second, first]),
                    Bisection::One(fetched) => {
                        let message = Chain(&*source).to_string();
                        poison.push((
                            fetched,
                            DeadLetterReason { class, message, quotes_record: false },
                        ));
                    }
                },
            }
        }
        Ok(poison)
    }

    /// A panic counts as a permanent error.
    async fn handle(&self, events: &[Envelope<H::Event>]) -> Result<(), HandlerError> {
        AssertUnwindSafe(self.handler.handle(events)).catch_unwind().await.unwrap_or_else(|panic| {
            Err(HandlerError::Permanent { class: "panic", source: panic_message(&*panic).into() })
        })
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "panicked".to_owned())
}
