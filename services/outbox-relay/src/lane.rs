//! A lane: one step after the other over its shards, side by side with the other lanes.
//!
//! A step claims the oldest rows, sends them, and settles what the broker has answered. It does not wait for the slowest
//! answer: a partition without a leader answers nothing until the time is up, and the others must not wait for it. What
//! is late is settled when its answer comes; until then, nothing else of its orders is claimed.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::pending;
use messaging::{Answers, Flight, PATIENCE, PoisonBreaker, PublishError, Publisher};
use service_kit::outage::Outage;
use service_kit::{Chain, Heartbeat};
use store::Database;
use store::outbox::{self, Claimed, ClaimedRow, OutboxRow};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::batch::{one_an_order, publication};
use crate::flight::{OrdersInFlight, Sending};
use crate::leases::Tenure;
use crate::settle::Settler;
use crate::step::{RelayError, Step};
use crate::wake::Wakes;

/// How soon to look again after rows were deferred: the shortest that one waits.
const DEFERRED: Duration = Duration::from_secs(1);
/// The longest that one waits.
const LONGEST_DEFERRAL: Duration = Duration::from_secs(10);

/// What the lanes of a relay have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) dead_letters_topic: String,
    pub(crate) per_shard: i64,
    pub(crate) lanes: usize,
    pub(crate) poll_interval: Duration,
    /// The longest that a batch takes from the send to the mark.
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
    flights: OrdersInFlight,
    breaker: PoisonBreaker,
    /// Until then, rows that were deferred can become due.
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
        // Until it works.
        heartbeat.rest();
        let (flights, deferred_until) = (OrdersInFlight::default(), None);
        Self { number, heartbeat, shared, outage, flights, breaker, deferred_until }
    }

    /// Steps until the tenure is over, or until `shutdown`. What is on its way then is waited for.
    pub(crate) async fn work(mut self, tenure: Arc<Tenure>, shutdown: CancellationToken) -> Self {
        while !tenure.is_over() && !shutdown.is_cancelled() {
            self.heartbeat.beat();
            if !tenure.lasts(self.shared.publish_and_mark) {
                self.heartbeat.rest();
                tokio::select! {
                    () = tenure.until_it_lasts(self.shared.publish_and_mark) => {}
                    () = tenure.ended() => {}
                    () = shutdown.cancelled() => {}
                }
                continue;
            }
            let result = self.turn(&tenure).await;
            let is_outage = result.is_err();
            let pause = self.pause_after(result);
            if pause > Duration::ZERO {
                self.rest(pause, is_outage, &tenure, &shutdown).await;
            }
        }
        tenure.end();
        while let Some((flight, answers)) = self.flights.next().await {
            self.heartbeat.beat();
            let result = self.settle(flight, answers, &tenure).await;
            self.pause_after(result);
        }
        self.heartbeat.rest();
        self
    }

    /// Settles what has been answered meanwhile, then makes a step, or waits until there is room for one.
    async fn turn(&mut self, tenure: &Tenure) -> Result<Step, RelayError> {
        let mut sum = Step::default();
        while let Some((flight, answers)) = self.flights.next_now() {
            sum = sum + self.settle(flight, answers, tenure).await?;
        }
        if !self.flights.have_room()
            && let Some((flight, answers)) = self.flights.next().await
        {
            return Ok(sum + self.settle(flight, answers, tenure).await?);
        }
        Ok(sum + self.step(tenure).await?)
    }

    /// A step, and all of its answers.
    pub(crate) async fn whole_step(&mut self, tenure: &Tenure) -> Result<Step, RelayError> {
        let mut sum = self.step(tenure).await;
        while let Some((flight, answers)) = self.flights.next().await {
            let late = self.settle(flight, answers, tenure).await;
            sum = sum.and_then(|sum| Ok(sum + late?));
        }
        sum
    }

    /// Publishes the oldest rows of the lane's shards and marks those that were acknowledged soon.
    async fn step(&mut self, tenure: &Tenure) -> Result<Step, RelayError> {
        let shared = self.shared.clone();
        let held = tenure.of_lane(self.number, shared.lanes);
        if held.is_empty() {
            return Ok(Step::default());
        }
        let shards = held.iter().map(|held| held.shard).collect();
        let Claimed { rows, more: behind } = {
            let in_flight = self.flights.orders();
            let mut connection = shared.database.connection().await?;
            outbox::claim(&mut connection, &shards, &in_flight, shared.per_shard).await?
        };
        let seen = rows.len();
        let batch = one_an_order(rows);
        let held_back = seen - batch.len();
        if batch.is_empty() {
            return Ok(Step::default());
        }
        // The claim took long; the next turn waits until the leases are renewed.
        if !tenure.lasts(shared.publish_and_mark) {
            return Ok(Step { behind: true, ..Step::default() });
        }
        let sent_at = Instant::now();
        let events = batch.into_iter().map(|mut row| {
            let publication = publication(&mut row);
            (row, publication)
        });
        let events = shared.publisher.send(events.collect());
        let mut flight = Flight { events, context: Sending { held, at: sent_at } };
        let answers = flight.events.answers_within(PATIENCE).await;
        let step = self.settle(flight, answers, tenure).await?;
        Ok(step + Step { held_back, behind, ..Step::default() })
    }

    /// Marks what was published, and lets wait what could not be. What is left of the flight stays on its way.
    async fn settle(
        &mut self,
        flight: Flight<OutboxRow, Sending>,
        answers: Answers<OutboxRow>,
        tenure: &Tenure,
    ) -> Result<Step, RelayError> {
        let shared = self.shared.clone();
        let sending = flight.context.clone();
        if !flight.events.is_empty() {
            self.flights.add(flight);
        }
        if !answers.suspects.is_empty() && tenure.lasts(shared.publish_and_mark) {
            let events = shared.publisher.send_apart(answers.suspects);
            let context = Sending { at: Instant::now(), ..sending.clone() };
            self.flights.add(Flight { events, context });
        }
        if answers.settled.is_empty() {
            return Ok(Step::default());
        }
        let mut connection = shared.database.connection().await?;
        let settler = Settler {
            connection: &mut connection,
            held: &sending.held,
            dead_letters_topic: &shared.dead_letters_topic,
            breaker: &mut self.breaker,
        };
        let settlement = settler.settle(answers.settled).await?;
        drop(connection);
        if settlement.lease_lost {
            tracing::warn!(
                "a lease was lost while events were published, they will be published again"
            );
            tenure.lose();
        }
        if settlement.published > 0 {
            *shared.acknowledged() = Some(Instant::now());
        }
        let deferred = self.defer(settlement.unavailable, sending.at, tenure).await?;
        let (published, dead_lettered) = (settlement.published, settlement.dead_lettered);
        Ok(Step { published, dead_lettered, deferred, ..Step::default() })
    }

    /// Lets rows wait that could not be published, so that others pass; unless no broker answers, where it is no use.
    /// Where others could be published meanwhile, it is no outage.
    async fn defer(
        &mut self,
        unavailable: Vec<(ClaimedRow, OutboxRow, PublishError)>,
        sent_at: Instant,
        tenure: &Tenure,
    ) -> Result<usize, RelayError> {
        let rows: Vec<ClaimedRow> = unavailable.iter().map(|(place, ..)| *place).collect();
        let Some((_, row, source)) = unavailable.into_iter().next() else {
            return Ok(0);
        };
        // Whoever works on these shards next finds out by itself.
        if tenure.is_over() {
            return Ok(0);
        }
        let shared = &self.shared;
        let others_pass = *shared.acknowledged() > Some(sent_at);
        if others_pass || shared.publisher.is_answered().await {
            let mut connection = shared.database.connection().await?;
            let reason = Chain(&source).to_string();
            outbox::defer(&mut connection, &rows, &reason).await?;
            metrics::counter!("outbox_deferrals_total").increment(rows.len() as u64);
            self.deferred_until = Some(Instant::now() + LONGEST_DEFERRAL);
        }
        if others_pass {
            return Ok(rows.len());
        }
        Err(RelayError::Kafka { topic: row.event.topic, source })
    }

    /// How long until the next step: not at all while there is more than one step takes, otherwise until there is news,
    /// or a row is due again. To look again at once would find a row or two, at the cost of a commit.
    fn pause_after(&mut self, result: Result<Step, RelayError>) -> Duration {
        let step = match result {
            Ok(step) => step,
            Err(error) => return self.outage.failed(&error),
        };
        let waits = !self.flights.is_empty()
            || self.deferred_until.is_some_and(|until| Instant::now() < until);
        if step.published > 0 || !waits {
            self.outage.over();
        }
        let poll_interval = self.shared.poll_interval;
        match step {
            Step { behind: true, .. } => Duration::ZERO,
            // The next of an order; or the announcement of a dead letter.
            Step { published: 1.., held_back: 1.., .. } | Step { dead_lettered: 1.., .. } => {
                Duration::ZERO
            }
            _ if waits => poll_interval.min(DEFERRED),
            _ => poll_interval,
        }
    }

    /// Rests until it is time for the next step, or there is news; in an outage, no news but an answer shortens it:
    /// who commits an event ends no outage.
    async fn rest(
        &mut self,
        pause: Duration,
        is_outage: bool,
        tenure: &Tenure,
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
                () = tenure.ended() => return,
                () = shutdown.cancelled() => return,
                Some((flight, answers)) = self.flights.next() => {
                    self.heartbeat.beat();
                    let result = self.settle(flight, answers, tenure).await;
                    let has_published = result.as_ref().is_ok_and(|step| step.published > 0);
                    self.pause_after(result);
                    // The next event of the same order.
                    if has_published {
                        return;
                    }
                    self.heartbeat.rest();
                }
            }
        }
    }
}
