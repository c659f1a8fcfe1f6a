//! Publishes due steps, then marks them.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use contracts::delivery_events::DeliveryEvent;
use contracts::message::{EventMessage, Origin};
use domain::OrderId;
use messaging::{
    DeliveryReports, InFlightBatch, InFlightBatches, PoisonBreaker, PublishError, Publisher,
    REPORT_WAIT,
};
use service_kit::retry::outage::Outage;
use service_kit::{Chain, Heartbeat};
use store::shipments::{self, DueShipment, StepDone};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::delays::Delays;

/// Maximum number of steps that are published together.
const BATCH: usize = 1000;

/// Pause after a turn that took all due steps. Steps that become due meanwhile are published
/// together, instead of a few at a time with two commits each.
const GATHER: Duration = Duration::from_millis(20);

/// Publishes the steps that are due.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) topic: String,
    pub(crate) delays: Delays,
    pub(crate) lease: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) arrived: Arc<Notify>,
    pub(crate) heartbeat: Heartbeat,
    /// The maximum time of a batch from send to mark.
    pub(crate) publish_and_mark: Duration,
    pub(crate) in_flight: InFlightBatches<DueShipment, Lease>,
    pub(crate) breaker: PoisonBreaker,
    /// When a broker last acknowledged a step.
    pub(crate) acknowledged: Option<Instant>,
}

/// Why steps stay due. They are leased again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    /// The database failed.
    #[error("shipments cannot be read or marked")]
    Store(#[from] StoreError),
    /// The broker or the topic is unavailable.
    #[error("steps cannot be published")]
    Kafka(#[source] PublishError),
}

/// The outcome of one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    /// Steps that were leased.
    leased: usize,
    /// Steps that were published and marked.
    done: usize,
}

/// The lease that steps were sent under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    token: Uuid,
    since: Instant,
}

impl Dispatcher {
    /// Runs turns until `shutdown`. Then waits for the steps in flight.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut outage = Outage::of("shipments or kafka");
        while !shutdown.is_cancelled() {
            self.heartbeat.beat();
            match self.turn().await {
                Ok(turn) => {
                    if turn.done > 0 || self.in_flight.is_empty() {
                        outage.over();
                    }
                    let pause = match turn.leased {
                        0 => self.until_next().await.unwrap_or(self.poll_interval),
                        BATCH.. => Duration::ZERO,
                        _ => GATHER,
                    };
                    if pause > Duration::ZERO
                        && let Err(error) = self.rest(pause, turn.leased == 0, &shutdown).await
                    {
                        outage.failed(&error);
                    }
                }
                Err(error) => outage.wait(&error, &shutdown).await,
            }
        }
        while let Some((batch, reports)) = self.in_flight.next().await {
            self.heartbeat.beat();
            if let Err(error) = self.settle(batch, reports).await {
                outage.failed(&error);
            }
        }
        Ok(())
    }

    /// Settles the responses that have arrived, then publishes due steps, or waits until there is
    /// room.
    async fn turn(&mut self) -> Result<Turn, DispatchError> {
        let mut done = 0;
        while let Some((batch, reports)) = self.in_flight.next_now() {
            done += self.settle(batch, reports).await?;
        }
        if !self.in_flight.have_room()
            && let Some((batch, reports)) = self.in_flight.next().await
        {
            done += self.settle(batch, reports).await?;
            return Ok(Turn { leased: 0, done });
        }
        let turn = self.publish_due().await?;
        Ok(Turn { done: done + turn.done, ..turn })
    }

    /// Publishes due steps, and marks those that are acknowledged promptly.
    async fn publish_due(&mut self) -> Result<Turn, DispatchError> {
        let lease = Lease { token: Uuid::new_v4(), since: Instant::now() };
        let mut connection = self.database.connection().await?;
        let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
        let due = shipments::lease_due(&mut connection, lease.token, self.lease, limit).await?;
        // The connection is returned before the wait for Kafka.
        drop(connection);
        let leased = due.len();
        if leased == 0 {
            return Ok(Turn::default());
        }
        let steps = due.into_iter().map(|due| {
            let message = self.message(&due);
            (due, message)
        });
        let events = self.publisher.send(steps.collect());
        let mut batch = InFlightBatch { events, context: lease };
        let reports = batch.events.reports_within(REPORT_WAIT).await;
        let done = self.settle(batch, reports).await?;
        Ok(Turn { leased, done })
    }

    /// Marks published steps, defers those that could not be published, and dead-letters those that
    /// never can be. The rest stays in flight. Returns how many steps were done.
    async fn settle(
        &mut self,
        batch: InFlightBatch<DueShipment, Lease>,
        reports: DeliveryReports<DueShipment>,
    ) -> Result<usize, DispatchError> {
        let lease = batch.context;
        if !batch.events.is_empty() {
            self.in_flight.add(batch);
        }
        // If the lease does not last for that, it expires, and the step is due again.
        if !reports.to_resend.is_empty()
            && lease.since.elapsed() + self.publish_and_mark <= self.lease
        {
            let events = self.publisher.send_individually(reports.to_resend);
            self.in_flight.add(InFlightBatch { events, context: lease });
        }
        let mut done = Vec::with_capacity(reports.settled.len());
        let (mut waiting, mut refused) = (Vec::new(), Vec::new());
        for (due, result) in reports.settled {
            match result {
                Ok(()) => done.push(self.done(&due)),
                Err(error) if error.is_condition() => waiting.push((due.order_id, error)),
                Err(error) => refused.push((due.order_id, error)),
            }
        }
        if !done.is_empty() {
            self.mark(lease.token, &done).await?;
        }
        if self.breaker.is_suspicious(refused.len(), done.len()) && !refused.is_empty() {
            metrics::counter!("delivery_held_steps_total").increment(refused.len() as u64);
            tracing::error!(
                refused = refused.len(),
                topic = self.topic,
                "most of the latest steps were refused; none is dead-lettered; check the settings of the topic"
            );
            waiting.append(&mut refused);
        }
        if !refused.is_empty() {
            self.dead_letter(lease.token, &refused).await?;
        }
        self.defer(lease, waiting).await?;
        Ok(done.len())
    }

    /// Dead-letters steps that Kafka can never accept.
    async fn dead_letter(
        &mut self,
        token: Uuid,
        refused: &[(OrderId, PublishError)],
    ) -> Result<(), StoreError> {
        let reasons: Vec<(OrderId, String)> =
            refused.iter().map(|(order, error)| (*order, Chain(error).to_string())).collect();
        let mut connection = self.database.connection().await?;
        let dead_lettered = shipments::refuse(&mut connection, token, &reasons).await?;
        note_lost_leases(refused.len() - dead_lettered.len());
        metrics::counter!("delivery_dead_letters_total").increment(dead_lettered.len() as u64);
        for (order, error) in reasons.iter().filter(|(order, _)| dead_lettered.contains(order)) {
            tracing::error!(order_id = %order, error, "step dead-lettered");
        }
        Ok(())
    }

    async fn mark(&mut self, token: Uuid, done: &[StepDone]) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        let marked = shipments::mark_done(&mut connection, token, done).await?;
        note_lost_leases(done.len() - marked);
        metrics::counter!("delivery_steps_total").increment(marked as u64);
        self.acknowledged = Some(Instant::now());
        Ok(())
    }

    /// Defers steps that could not be published, so that others pass. If no broker responds, gives
    /// them back instead, because then no step can pass. If others were published meanwhile, it is
    /// not an outage.
    async fn defer(
        &mut self,
        lease: Lease,
        waiting: Vec<(OrderId, PublishError)>,
    ) -> Result<(), DispatchError> {
        let orders: Vec<OrderId> = waiting.iter().map(|(order, _)| *order).collect();
        let Some((_, error)) = waiting.into_iter().next() else { return Ok(()) };
        let others_pass = self.acknowledged > Some(lease.since);
        let defers = others_pass || self.publisher.is_reachable().await;
        let mut connection = self.database.connection().await?;
        if defers {
            shipments::defer(&mut connection, lease.token, &orders).await?;
            metrics::counter!("delivery_deferrals_total").increment(orders.len() as u64);
        } else {
            shipments::give_back(&mut connection, lease.token, &orders).await?;
        }
        if others_pass { Ok(()) } else { Err(DispatchError::Kafka(error)) }
    }

    /// Waits for the pause, a response, or, if the dispatcher is idle, a new order.
    async fn rest(
        &mut self,
        pause: Duration,
        is_idle: bool,
        shutdown: &CancellationToken,
    ) -> Result<(), DispatchError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.arrived.notified(), if is_idle => {}
            () = shutdown.cancelled() => {}
            Some((batch, reports)) = self.in_flight.next() => {
                self.settle(batch, reports).await?;
            }
        }
        Ok(())
    }

    async fn until_next(&mut self) -> Result<Duration, StoreError> {
        let mut connection = self.database.connection().await?;
        shipments::until_next(&mut connection, self.poll_interval).await
    }

    fn message(&self, due: &DueShipment) -> EventMessage {
        let event = DeliveryEvent { order_id: due.order_id, step: due.step, at: due.due_at };
        event.message(Origin {
            source: "/delivery-service",
            topic: &self.topic,
            correlation_id: due.correlation_id.clone(),
            trace: due.trace.clone(),
        })
    }

    fn done(&self, due: &DueShipment) -> StepDone {
        StepDone {
            order_id: due.order_id,
            step: due.step,
            at: due.due_at,
            delay: self.delays.draw(),
        }
    }
}

fn note_lost_leases(lost: usize) {
    if lost > 0 {
        metrics::counter!("delivery_leases_lost_total").increment(lost as u64);
        tracing::warn!(lost, "lease expired; steps will be published again");
    }
}
