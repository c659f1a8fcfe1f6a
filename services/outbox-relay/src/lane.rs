//! A lane: claims and publishes the events of its shards, concurrently with the other lanes.
//!
//! A step claims the oldest rows, sends them, and settles those that the broker has responded to.
//! It does not wait for the slowest response: a partition without a leader does not respond until
//! the timeout, and the others must not wait for it. A late event is settled when its response
//! arrives. Until then, the lane claims no other event of its order.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::pending;
use messaging::{
    DeliveryReports, InFlightBatch, PoisonBreaker, PublishError, Publisher, REPORT_WAIT,
};
use service_kit::retry::outage::Outage;
use service_kit::{Chain, Heartbeat};
use store::Database;
use store::outbox::{self, Claimed, ClaimedRow, OutboxRow};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::batch::{message, oldest_per_order};
use crate::in_flight::{OrdersInFlight, SendContext};
use crate::leases::LeaseWindow;
use crate::settle::Settler;
use crate::step::{RelayError, Step};
use crate::wake::Wakes;

/// Poll interval after rows were deferred: the minimum time for which one is deferred.
const MIN_DEFERRAL: Duration = Duration::from_secs(1);
/// The maximum time for which a row is deferred.
const MAX_DEFERRAL: Duration = Duration::from_secs(10);

/// The state that the lanes of a relay share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) dead_letters_topic: String,
    pub(crate) per_shard: i64,
    pub(crate) lanes: usize,
    pub(crate) poll_interval: Duration,
    /// The maximum time of a batch from send to mark.
    pub(crate) publish_and_mark: Duration,
    pub(crate) wakes: Wakes,
    /// When a broker last acknowledged an event of any lane.
    pub(crate) acknowledged: Mutex<Option<Instant>>,
}

impl Shared {
    fn acknowledged(&self) -> MutexGuard<'_, Option<Instant>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the lanes.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: usize,
    pub(crate) heartbeat: Heartbeat,
    shared: Arc<Shared>,
    outage: Outage,
    in_flight: OrdersInFlight,
    breaker: PoisonBreaker,
    /// Deferred rows may become due until then.
    deferred_until: Option<Instant>,
}

impl Lane {
    pub(crate) fn new(
        number: usize,
        shared: Arc<Shared>,
        outage: Outage,
        heartbeat: Heartbeat,
        breaker: PoisonBreaker,
    ) -> Self {
        // Idle until `work`.
        heartbeat.rest();
        let (in_flight, deferred_until) = (OrdersInFlight::default(), None);
        Self { number, heartbeat, shared, outage, in_flight, breaker, deferred_until }
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
            if !window.lasts(self.shared.publish_and_mark) {
                self.heartbeat.rest();
                tokio::select! {
                    () = window.until_it_lasts(self.shared.publish_and_mark) => {}
                    () = window.ended() => {}
                    () = shutdown.cancelled() => {}
                }
                continue;
            }
            let result = self.turn(&window).await;
            let is_outage = result.is_err();
            let pause = self.pause_after(result);
            if pause > Duration::ZERO {
                self.rest(pause, is_outage, &window, &shutdown).await;
            }
        }
        window.end();
        while let Some((batch, reports)) = self.in_flight.next().await {
            self.heartbeat.beat();
            let result = self.settle(batch, reports, &window).await;
            self.pause_after(result);
        }
        self.heartbeat.rest();
        self
    }

    /// Settles the responses that have arrived, then runs a step, or waits until there is room for
    /// one.
    async fn turn(&mut self, window: &LeaseWindow) -> Result<Step, RelayError> {
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
    pub(crate) async fn whole_step(&mut self, window: &LeaseWindow) -> Result<Step, RelayError> {
        let mut sum = self.step(window).await;
        while let Some((batch, reports)) = self.in_flight.next().await {
            let late = self.settle(batch, reports, window).await;
            sum = sum.and_then(|sum| Ok(sum + late?));
        }
        sum
    }

    /// Publishes the oldest rows of the lane's shards, and marks those that are acknowledged
    /// promptly.
    async fn step(&mut self, window: &LeaseWindow) -> Result<Step, RelayError> {
        let shared = self.shared.clone();
        let held = window.of_lane(self.number, shared.lanes);
        if held.is_empty() {
            return Ok(Step::default());
        }
        let shards = held.iter().map(|held| held.shard).collect();
        let Claimed { rows, more: behind } = {
            let in_flight = self.in_flight.orders();
            let mut connection = shared.database.connection().await?;
            outbox::claim(&mut connection, &shards, &in_flight, shared.per_shard).await?
        };
        let seen = rows.len();
        let rows = oldest_per_order(rows);
        let held_back = seen - rows.len();
        if rows.is_empty() {
            return Ok(Step::default());
        }
        // The claim was too slow: the next turn waits until the leases are renewed.
        if !window.lasts(shared.publish_and_mark) {
            return Ok(Step { behind: true, ..Step::default() });
        }
        let sent_at = Instant::now();
        let events = rows.into_iter().map(|mut row| {
            let message = message(&mut row);
            (row, message)
        });
        let events = shared.publisher.send(events.collect());
        let mut batch = InFlightBatch { events, context: SendContext { held, at: sent_at } };
        let reports = batch.events.reports_within(REPORT_WAIT).await;
        let step = self.settle(batch, reports, window).await?;
        Ok(step + Step { held_back, behind, ..Step::default() })
    }

    /// Marks published events and defers those that could not be published. The rest stays in
    /// flight.
    async fn settle(
        &mut self,
        batch: InFlightBatch<OutboxRow, SendContext>,
        reports: DeliveryReports<OutboxRow>,
        window: &LeaseWindow,
    ) -> Result<Step, RelayError> {
        let shared = self.shared.clone();
        let sending = batch.context.clone();
        if !batch.events.is_empty() {
            self.in_flight.add(batch);
        }
        if !reports.to_resend.is_empty() && window.lasts(shared.publish_and_mark) {
            let events = shared.publisher.send_individually(reports.to_resend);
            let context = SendContext { at: Instant::now(), ..sending.clone() };
            self.in_flight.add(InFlightBatch { events, context });
        }
        if reports.settled.is_empty() {
            return Ok(Step::default());
        }
        let mut connection = shared.database.connection().await?;
        let settler = Settler {
            connection: &mut connection,
            held: &sending.held,
            dead_letters_topic: &shared.dead_letters_topic,
            breaker: &mut self.breaker,
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
        let deferred = self.defer(settlement.unavailable, sending.at, window).await?;
        let (published, dead_lettered) = (settlement.published, settlement.dead_lettered);
        Ok(Step { published, dead_lettered, deferred, ..Step::default() })
    }

    /// Defers rows that could not be published, so that others pass; but not if no broker responds,
    /// because then no row can pass. If others were published meanwhile, it is not an outage.
    async fn defer(
        &mut self,
        unavailable: Vec<(ClaimedRow, OutboxRow, PublishError)>,
        sent_at: Instant,
        window: &LeaseWindow,
    ) -> Result<usize, RelayError> {
        let rows: Vec<ClaimedRow> = unavailable.iter().map(|(place, ..)| *place).collect();
        let Some((_, row, source)) = unavailable.into_iter().next() else {
            return Ok(0);
        };
        // The next relay of these shards defers them itself.
        if window.is_over() {
            return Ok(0);
        }
        let shared = &self.shared;
        let others_pass = *shared.acknowledged() > Some(sent_at);
        if others_pass || shared.publisher.is_reachable().await {
            let mut connection = shared.database.connection().await?;
            let reason = Chain(&source).to_string();
            outbox::defer(&mut connection, &rows, &reason).await?;
            metrics::counter!("outbox_deferrals_total").increment(rows.len() as u64);
            self.deferred_until = Some(Instant::now() + MAX_DEFERRAL);
        }
        if others_pass {
            return Ok(rows.len());
        }
        Err(RelayError::Kafka { topic: row.event.topic, source })
    }

    /// The pause before the next step: none while there are more rows than one step takes.
    /// Otherwise it lasts until a notification, or until a row may be due again. Polling at once
    /// would find a row or two, at the cost of a commit.
    fn pause_after(&mut self, result: Result<Step, RelayError>) -> Duration {
        let step = match result {
            Ok(step) => step,
            Err(error) => return self.outage.failed(&error),
        };
        let waits = !self.in_flight.is_empty()
            || self.deferred_until.is_some_and(|until| Instant::now() < until);
        if step.published > 0 || !waits {
            self.outage.over();
        }
        let poll_interval = self.shared.poll_interval;
        match step {
            Step { behind: true, .. } => Duration::ZERO,
            // The next event of an order, or the announcement of a dead letter.
            Step { published: 1.., held_back: 1.., .. } | Step { dead_lettered: 1.., .. } => {
                Duration::ZERO
            }
            _ if waits => poll_interval.min(MIN_DEFERRAL),
            _ => poll_interval,
        }
    }

    /// Waits for the pause or a notification. In an outage only a response ends the wait early: a
    /// new event does not end an outage.
    async fn rest(
        &mut self,
        pause: Duration,
        is_outage: bool,
        window: &LeaseWindow,
        shutdown: &CancellationToken,
    ) {
        self.heartbeat.rest();
        let end = Instant::now() + pause;
        let shared = self.shared.clone();
        let mut woken = pin!(if is_outage {
            pending().right_future()
        } else {
            shared.wakes.woken(self.number).left_future()
        });
        loop {
            tokio::select! {
                () = sleep_until(end) => return,
                () = &mut woken => return,
                () = window.ended() => return,
                () = shutdown.cancelled() => return,
                Some((batch, reports)) = self.in_flight.next() => {
                    self.heartbeat.beat();
                    let result = self.settle(batch, reports, window).await;
                    let has_published = result.as_ref().is_ok_and(|step| step.published > 0);
                    self.pause_after(result);
                    // The next event of the same order may be due.
                    if has_published {
                        return;
                    }
                    self.heartbeat.rest();
                }
            }
        }
    }
}
