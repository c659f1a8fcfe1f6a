//! The loop around a handler.

mod put_aside;

use std::any::Any;
use std::panic::AssertUnwindSafe;

use contracts::envelope::Envelope;
use futures::FutureExt;
use rdkafka::error::KafkaError;
use service_kit::Chain;
use service_kit::credentials::Watched;
use service_kit::health::Look;
use service_kit::metrics::catalogue;
use service_kit::outage::Outage;
use service_kit::recorder::{RecordedSpan, recorder};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::batch::{Batch, Suspect};
use super::handler::{Handler, HandlerError};
use super::lag::Lag;
use super::member::GroupMember;
use super::offsets::{Holdings, Mark, Taken};
use super::progress::Progress;
use super::rebalance::RebalanceContext;
use super::settings::RunnerOptions;
use super::source::{Source, Stopped};
use super::watchdog::Watchdog;
use crate::context::Refusal;
use crate::dead_letter::{DeadLetters, Verdict};
use crate::{KafkaSettings, PoisonBreaker, spans};

/// Why a runner could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ConsumerError {
    /// The client was misconfigured.
    #[error("the Kafka client cannot be made")]
    Client(#[from] KafkaError),
    /// The client can never read again, for example because another instance took its name.
    #[error("the Kafka client gave up: {0}")]
    Fatal(String),
    /// The broker tells nothing to this client, or the client trusts no broker: a password or a certificate is wrong.
    #[error("Kafka does not let this client in: {0}")]
    NotLetIn(String),
}

/// Reads a topic for a group and feeds a handler.
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

/// A record that can never be processed, and why.
type Condemned = (Taken, Verdict);

impl<H: Handler> Runner<H> {
    /// Subscribes; the client connects by itself.
    pub fn new(
        settings: &KafkaSettings,
        options: RunnerOptions,
        handler: H,
    ) -> Result<Self, ConsumerError> {
        let context = RebalanceContext {
            holdings: Holdings::default(),
            lag: Lag::of(&options.topic),
            watchdog: Watchdog { heartbeat: options.heartbeat.clone() },
            refusal: Refusal::default(),
        };
        let credentials = Watched::new(settings.security.files());
        let member = GroupMember::new(settings, &options, context.clone())?.join(&options.topic)?;
        let source = Source::new(member, context.holdings.clone(), &options);
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

    /// A check for a readiness endpoint: whether a broker answers.
    pub fn probe(&self) -> impl Fn() -> Look + Send + Sync + 'static {
        self.dead_letters.probe()
    }

    /// A check for a readiness endpoint: whether records are processed, or there are none.
    pub fn progress(&self) -> impl Fn() -> Look + Send + Sync + 'static {
        self.progress.probe()
    }

    /// Reads and handles until `shutdown`, or until the client can never read again. What is in hand is finished
    /// first, unless it waits for something that is away: that comes again, since its offset was not stored.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), ConsumerError> {
        catalogue::begin_for("topic", &self.options.topic);
        let mut outage = Outage::of("kafka");
        loop {
            let next = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                () = self.credentials.changed() => {
                    self.join_again().await?;
                    continue;
                }
                next = self.source.gather() => next,
                // After all that has arrived.
                skipped = self.context.holdings.skipped() => {
                    self.source.store(&skipped);
                    continue;
                }
            };
            match next {
                Ok(batch) => {
                    outage.over();
                    self.context.refusal.over();
                    self.source.look_into_gaps().await;
                    // A stop keeps what is in hand from being stored.
                    let _: Result<(), Stopped> = self.process(batch, &shutdown).await;
                }
                // The client mends itself, but only while it is polled: its errors queue up in front of the
                // rebalance that brings it back. So this is no place to wait.
                Err(error) => {
                    metrics::counter!("consumer_errors_total", "topic" => self.options.topic.clone())
                        .increment(1);
                    match self.context.refusal.reason() {
                        Some(reason) => outage.failed(&ConsumerError::NotLetIn(reason)),
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

    /// A client reads its certificates when it is made, so another one takes the place in the group when they have changed.
    async fn join_again(&mut self) -> Result<(), ConsumerError> {
        let holdings = Holdings::default();
        let context = RebalanceContext { holdings: holdings.clone(), ..self.context.clone() };
        let member = match GroupMember::new(&self.settings, &self.options, context.clone()) {
            Ok(member) => member,
            Err(error) => {
                tracing::error!(%error, "certificates have changed to what is of no use");
                return Ok(());
            }
        };
        tracing::info!("certificates have changed, joining the group again");
        self.source.leave().await;
        // What it still tells, it tells of nothing that is held.
        self.context.holdings.retire();
        self.source.go_on_with(member.join(&self.options.topic)?, holdings);
        self.context = context;
        self.credentials.accept();
        Ok(())
    }

    /// Handles a batch to the end: each of its records has had its effect, or is a dead letter, or is somebody
    /// else's by now. Only then its offsets are stored.
    async fn process(
        &mut self,
        mut records: Vec<Taken>,
        shutdown: &CancellationToken,
    ) -> Result<(), Stopped> {
        let (started, count) = (Instant::now(), records.len());
        metrics::histogram!("consumer_batch_size", "topic" => self.options.topic.clone())
            .record(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        let marks: Vec<Mark> = records.iter().map(Taken::mark).collect();
        self.context.holdings.begin(&marks);
        // It ends with the batch; that of a record when the record is done with.
        let _span = self.begin_spans(&mut records);
        let condemned = self.attempt(records, shutdown).await?;
        // Last, when nothing can bring the batch back any more: each is put aside once.
        self.put_aside(condemned, count, shutdown).await?;
        self.progress.made();
        self.source.store(&self.context.holdings.finish(&marks));
        self.source.resume();
        self.options.heartbeat.beat();
        metrics::counter!("consumer_records_total", "topic" => self.options.topic.clone())
            .increment(count as u64);
        metrics::histogram!("consumer_batch_duration_seconds", "topic" => self.options.topic.clone())
            .record(started.elapsed());
        Ok(())
    }

    /// Begins the span of each record whose trace is recorded. Returns that of the batch, where there is more in it than
    /// one record.
    fn begin_spans(&self, records: &mut [Taken]) -> Option<RecordedSpan> {
        let recorder = recorder()?;
        let count = records.len();
        let mut batch = None;
        for taken in records {
            let record = &taken.record;
            if let Some(trace) = spans::sampled_trace(record) {
                if batch.is_none() && count > 1 {
                    batch = spans::begin_batch(
                        recorder,
                        &self.options.topic,
                        &self.options.group,
                        count,
                    );
                }
                taken.span = spans::begin_process(
                    recorder,
                    record,
                    &trace,
                    &self.options.group,
                    batch.as_ref(),
                );
            }
        }
        batch
    }

    /// Reads and handles records. Returns those that can never be processed.
    async fn attempt(
        &mut self,
        records: Vec<Taken>,
        shutdown: &CancellationToken,
    ) -> Result<Vec<Condemned>, Stopped> {
        let (batch, unreadable) = Batch::read(records);
        let mut condemned = self.handle_all(batch, shutdown).await?;
        condemned.extend(unreadable);
        Ok(condemned)
    }

    /// Hands over everything at once. Where that can never succeed, each half is tried by itself, first half
    /// first, down to the one record that is at fault. Returns those.
    async fn handle_all(
        &mut self,
        batch: Batch<H::Event>,
        shutdown: &CancellationToken,
    ) -> Result<Vec<Condemned>, Stopped> {
        let mut condemned = Vec::new();
        let mut outage = Outage::of("handler");
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            // Partitions can have gone while the batch was gathered, or during a wait: their records are the next
            // owner's.
            part.retain(|taken| self.context.holdings.still_holds(taken));
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
                Err(HandlerError::Permanent { class, source }) => match part.suspect() {
                    Suspect::Halves(first, second) => parts.extend([second, first]),
                    Suspect::One(taken) => {
                        let message = Chain(&*source).to_string();
                        condemned.push((taken, Verdict { class, message, quotes_record: false }));
                    }
                },
            }
        }
        Ok(condemned)
    }

    /// A handler that panics is as good as one that says "never".
    async fn handle(&self, events: &[Envelope<H::Event>]) -> Result<(), HandlerError> {
        AssertUnwindSafe(self.handler.handle(events)).catch_unwind().await.unwrap_or_else(|panic| {
            Err(HandlerError::Permanent { class: "panic", source: panic_message(&*panic).into() })
        })
    }
}

impl<H> std::fmt::Debug for Runner<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner").field("topic", &self.options.topic).finish_non_exhaustive()
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "panicked".to_owned())
}
