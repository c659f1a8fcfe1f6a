//! A lane: claims and publishes the events of its shards, concurrently with the other lanes.
//!
//! A step claims the oldest rows, sends them, and settles those that the broker has responded to.
//! It does not wait for the slowest response: a partition without a leader does not respond until
//! the timeout, and the others must not wait for it. A late event is settled when its response
//! arrives. Until then, the lane claims no other event of its order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use messaging::{InFlightBatch, PoisonBreaker, PublishError, Publisher, REPORT_WAIT};
use service_kit::retry::outage::Outage;
use service_kit::{Chain, Heartbeat};
use store::shards::{Claimed, Held, HeldShard, ScanStarts, ShardStart};
use store::{Connection, Database, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::oldest_per_order;
use crate::in_flight::{Batch, OrdersInFlight, Reports, SendContext};
use crate::leases::LeaseWindow;
use crate::settle::Settler;
use crate::wake::Wakes;
use crate::{EngineSettings, PublishingError, Queue, Step};

/// The maximum time for which a row is deferred.
const MAX_DEFERRAL: Duration = Duration::from_secs(10);

/// The state that the lanes of an engine share.
#[derive(Debug)]
pub(crate) struct Shared<Q> {
    pub(crate) queue: Q,
    pub(crate) settings: EngineSettings,
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) wakes: Wakes,
    /// When a broker last acknowledged an event of any lane.
    pub(crate) acknowledged: Mutex<Option<Instant>>,
    /// Of all lanes: each has only a part of the latest outcomes.
    pub(crate) breaker: Mutex<PoisonBreaker>,
}

impl<Q> Shared<Q> {
    fn acknowledged(&self) -> MutexGuard<'_, Option<Instant>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether events can be sent under these leases.
    fn lasts(&self, window: &LeaseWindow) -> bool {
        window.lasts(self.settings.publish_and_mark())
    }
}

/// One of the lanes.
#[derive(Debug)]
pub(crate) struct Lane<Q: Queue> {
    pub(crate) number: usize,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) shared: Arc<Shared<Q>>,
    pub(crate) outage: Outage,
    pub(crate) in_flight: OrdersInFlight<Q>,
    pub(crate) starts: ScanStarts,
    /// The number of changes of the stored starts when this lane last read them.
    start_changes: u64,
    /// Deferred rows may become due until then.
    pub(crate) deferred_until: Option<Instant>,
}

impl<Q: Queue> Lane<Q> {
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared<Q>>,
        outage: Outage,
        heartbeat: Heartbeat,
    ) -> Self {
        // Idle until `work`.
        heartbeat.rest();
        let (in_flight, deferred_until) = (OrdersInFlight::default(), None);
        let (starts, start_changes) = (ScanStarts::new(Q::NAME), shared.wakes.start_changes());
        Self { number, heartbeat, shared, outage, in_flight, starts, start_changes, deferred_until }
    }

    /// Runs steps until the lease window is over or until `shutdown`. Then waits for the events in
    /// flight.
    pub(crate) async fn work(
        mut self,
        window: Arc<LeaseWindow>,
        shutdown: CancellationToken,
    ) -> Self {
        while !window.is_over() && !shutdown.is_cancelled() {
            self.heartbeat.beat();
            if !self.shared.lasts(&window) {
                self.heartbeat.rest();
                tokio::select! {
                    () = window.until_it_lasts(self.shared.settings.publish_and_mark()) => {}
                    () = window.ended() => {}
                    () = shutdown.cancelled() => {}
                }
                continue;
            }
            let result = self.turn(&window).await;
            let pause = self.pause_after(result, &window).await;
            self.rest(pause, &window, &shutdown).await;
        }
        window.end();
        while let Some((batch, reports)) = self.in_flight.next().await {
            self.heartbeat.beat();
            let result = self.settle(batch, reports, &window).await;
            self.note(&result);
        }
        if let Err(error) = self.store_starts(&window).await {
            tracing::warn!(error = %Chain(&error), "scan starts not stored; the next holder reads more deleted rows");
        }
        self.heartbeat.rest();
        self
    }

    /// Settles the responses that have arrived, then runs a step, or waits until there is room for
    /// one.
    async fn turn(&mut self, window: &LeaseWindow) -> Result<Step, PublishingError> {
        let mut sum = Step::default();
        while let Some((batch, reports)) = self.in_flight.next_now() {
            sum = sum + self.settle(batch, reports, window).await?;
        }
        if !self.in_flight.have_room()
            && let Some((batch, reports)) = self.in_flight.next().await
        {
            return Ok(sum + self.settle(batch, reports, window).await?);
        }
        Ok(sum + self.step(window).await?)
    }

    /// A step, with all of its responses.
    pub(crate) async fn whole_step(
        &mut self,
        window: &LeaseWindow,
    ) -> Result<Step, PublishingError> {
        let mut sum = self.step(window).await;
        while let Some((batch, reports)) = self.in_flight.next().await {
            let late = self.settle(batch, reports, window).await;
            sum = sum.and_then(|sum| Ok(sum + late?));
        }
        sum
    }

    /// The shards of this lane, with their leases.
    pub(crate) fn held(&self, window: &LeaseWindow) -> Vec<HeldShard> {
        window.of_lane(self.number, self.shared.settings.lanes)
    }

    /// The shards of this lane.
    pub(crate) fn shards(&self, window: &LeaseWindow) -> Vec<i16> {
        self.held(window).iter().map(|held| held.shard).collect()
    }

    /// Where the scans of these shards start.
    async fn scan_starts(
        &mut self,
        connection: &mut Connection,
        shards: &[i16],
    ) -> Result<Vec<ShardStart>, StoreError> {
        let start_changes = self.shared.wakes.start_changes();
        if self.start_changes != start_changes {
            self.start_changes = start_changes;
            self.starts.forget();
        }
        self.starts.current(connection, shards).await
    }

    /// Stores where the scans of this lane's shards start, for the next holder.
    async fn store_starts(&mut self, window: &LeaseWindow) -> Result<(), StoreError> {
        let mut connection = self.shared.database.connection().await?;
        self.starts.store(&mut connection, &self.shards(window)).await
    }

    /// Publishes the oldest rows of the lane's shards, and marks those that are acknowledged
    /// promptly.
    async fn step(&mut self, window: &LeaseWindow) -> Result<Step, PublishingError> {
        let shared = self.shared.clone();
        let held = self.held(window);
        if held.is_empty() {
            return Ok(Step::default());
        }
        let shards: Vec<i16> = held.iter().map(|held| held.shard).collect();
        let Claimed { rows, more: behind } = {
            let (in_flight, limit) = (self.in_flight.orders(), shared.settings.shard_batch);
            let mut connection = shared.database.connection().await?;
            shared.queue.before_claim(&mut connection, &held, &in_flight).await?;
            let starts = self.scan_starts(&mut connection, &shards).await?;
            shared.queue.claim(&mut connection, &starts, &in_flight, limit).await?
        };
        let claimed = rows.len();
        self.starts.note_claimed(claimed);
        let rows = oldest_per_order(rows, Q::order);
        let held_back = claimed - rows.len();
        if rows.is_empty() {
            return Ok(Step::default());
        }
        // The claim was too slow: the next turn waits until the leases are renewed.
        if !shared.lasts(window) {
            return Ok(Step { behind: true, ..Step::default() });
        }
        let sent_at = Instant::now();
        let events = rows.into_iter().map(|row| {
            let message = shared.queue.message(&row);
            (row, message)
        });
        let events = shared.publisher.send(events.collect());
        let mut batch = InFlightBatch { events, context: SendContext { held, at: sent_at } };
        let reports = batch.events.reports_within(REPORT_WAIT).await;
        let step = self.settle(batch, reports, window).await?;
        Ok(step + Step { claimed, held_back, behind, ..Step::default() })
    }

    /// Marks published events and defers those that could not be published. The rest stays in
    /// flight.
    pub(crate) async fn settle(
        &mut self,
        batch: Batch<Q>,
        reports: Reports<Q>,
        window: &LeaseWindow,
    ) -> Result<Step, PublishingError> {
        let shared = self.shared.clone();
        let sending = batch.context.clone();
        if !batch.events.is_empty() {
            self.in_flight.add(batch);
        }
        if !reports.to_resend.is_empty() && shared.lasts(window) {
            let events = shared.publisher.send_individually(reports.to_resend);
            let context = SendContext { at: Instant::now(), ..sending.clone() };
            self.in_flight.add(InFlightBatch { events, context });
        }
        if reports.settled.is_empty() {
            return Ok(Step::default());
        }
        let mut connection = shared.database.connection().await?;
        let settler = Settler {
            queue: &shared.queue,
            connection: &mut connection,
            held: &sending.held,
            breaker: &shared.breaker,
        };
        let settlement = settler.settle(reports.settled).await?;
        drop(connection);
        if settlement.lease_lost {
            tracing::warn!("lease lost while events were published; they will be published again");
            window.lease_lost();
        }
        if settlement.published > 0 {
            *shared.acknowledged() = Some(Instant::now());
        }
        let (published, dead_lettered) = (settlement.published, settlement.dead_lettered);
        let deferred = match settlement.error {
            Some(error) => self.defer(settlement.unavailable, error, sending.at, window).await?,
            None => 0,
        };
        Ok(Step { published, dead_lettered, deferred, ..Step::default() })
    }

    /// Defers rows that could not be published, so that others pass; but not if no broker responds,
    /// because then no row can pass. If others were published meanwhile, it is not an outage.
    async fn defer(
        &mut self,
        rows: Vec<Held<Q::Row>>,
        error: PublishError,
        sent_at: Instant,
        window: &LeaseWindow,
    ) -> Result<usize, PublishingError> {
        // The next instance that holds these shards defers them itself.
        if window.is_over() {
            return Ok(0);
        }
        let Shared { queue, publisher, database, .. } = &*self.shared;
        let others_pass = *self.shared.acknowledged() > Some(sent_at);
        if others_pass || publisher.is_reachable().await {
            let reason = Chain(&error).to_string();
            let mut connection = database.connection().await?;
            queue.defer(&mut connection, &rows, &reason).await?;
            metrics::counter!("queue_deferrals_total", "queue" => Q::NAME.label())
                .increment(rows.len() as u64);
            self.deferred_until = Some(Instant::now() + MAX_DEFERRAL);
        }
        match rows.first() {
            Some((_, row)) if !others_pass => Err(PublishingError::Kafka {
                topic: queue.message(row).topic.clone(),
                source: error,
            }),
            _ => Ok(rows.len()),
        }
    }
}
