//! The due shipments as a queue: the row of a shipment is both the timer and the outbox of its next
//! event.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::delivery_events::{CancellationRefused, StepReported};
use contracts::message::{EventMessage, Origin};
use domain::OrderId;
use publishing::Queue;
use store::shards::{Claimed, Held, HeldShard, QueueName, QueueStatus, ShardStart};
use store::shipments::{self, DueShipment, EventDone, NextEvent};
use store::{Connection, Database, StoreError};
use uuid::Uuid;

use crate::delays::Delays;

/// The events that are due. A published step starts the timer of the next one.
#[derive(Debug)]
pub(crate) struct DueSteps {
    /// Topic of the events.
    topic: String,
    delays: Delays,
    /// When the latest claimed step was due, in microseconds since 1970. Matters if the database's
    /// clock is set back.
    latest_due: AtomicI64,
}

impl DueSteps {
    pub(crate) fn new(topic: String, delays: Delays) -> Self {
        Self { topic, delays, latest_due: AtomicI64::new(0) }
    }

    fn latest_due(&self) -> DateTime<Utc> {
        let latest_due = self.latest_due.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(latest_due).unwrap_or_default()
    }
}

impl Queue for DueSteps {
    type Row = DueShipment;

    const NAME: QueueName = QueueName::Shipments;
    const GATHER: Duration = Duration::from_millis(20);

    fn shard(due: &DueShipment) -> i16 {
        due.shard
    }

    fn order(due: &DueShipment) -> Uuid {
        due.order_id.as_uuid()
    }

    fn message(&self, due: &DueShipment) -> Arc<EventMessage> {
        let origin = Origin {
            source: "/delivery-service",
            topic: &self.topic,
            correlation_id: due.correlation_id.clone(),
            trace: due.trace.clone(),
        };
        let (order_id, at) = (due.order_id, due.due_at);
        Arc::new(match due.event {
            NextEvent::Step(step) => StepReported { order_id, step, at }.message(origin),
            NextEvent::CancellationRefused => {
                CancellationRefused::already_shipped(order_id, at).message(origin)
            }
        })
    }

    async fn before_claim(
        &self,
        connection: &mut Connection,
        held: &[HeldShard],
        in_flight: &[Uuid],
    ) -> Result<(), StoreError> {
        let decisions =
            shipments::decide_cancellations(connection, held, in_flight, self.latest_due()).await?;
        for decision in decisions {
            let outcome = if decision.accepted { "accepted" } else { "refused" };
            metrics::counter!("delivery_cancellations_total", "outcome" => outcome).increment(1);
            metrics::histogram!("delivery_cancellation_decision_seconds")
                .record(decision.after.as_secs_f64());
        }
        Ok(())
    }

    fn latest_claim(&self) -> Option<DateTime<Utc>> {
        Some(self.latest_due())
    }

    async fn claim(
        &self,
        connection: &mut Connection,
        starts: &[ShardStart],
        in_flight: &[Uuid],
        per_shard: i64,
    ) -> Result<Claimed<DueShipment>, StoreError> {
        let claimed = shipments::claim(connection, starts, in_flight, per_shard).await?;
        if let Some(latest) = claimed.rows.iter().map(|due| due.due_at).max() {
            self.latest_due.fetch_max(latest.timestamp_micros(), Ordering::Relaxed);
        }
        Ok(claimed)
    }

    async fn mark(
        &self,
        connection: &mut Connection,
        steps: &[Held<DueShipment>],
    ) -> Result<usize, StoreError> {
        let done = |(held, due): &Held<DueShipment>| EventDone {
            held: *held,
            order_id: due.order_id,
            event: due.event,
            at: due.due_at,
            delay: self.delays.draw(),
        };
        let done: Vec<EventDone> = steps.iter().map(done).collect();
        shipments::mark_done(connection, &done).await
    }

    async fn defer(
        &self,
        connection: &mut Connection,
        steps: &[Held<DueShipment>],
        _reason: &str,
    ) -> Result<usize, StoreError> {
        let steps: Vec<Held<OrderId>> =
            steps.iter().map(|(held, due)| (*held, due.order_id)).collect();
        shipments::defer(connection, &steps).await
    }

    async fn dead_letter(
        &self,
        connection: &mut Connection,
        held: HeldShard,
        due: &DueShipment,
        reason: &str,
    ) -> Result<bool, StoreError> {
        shipments::refuse(connection, held, due, reason).await
    }

    async fn until_next_due(
        &self,
        database: &Database,
        starts: &[ShardStart],
        in_flight: &[Uuid],
        longest: Duration,
    ) -> Result<Duration, StoreError> {
        let mut connection = database.connection().await?;
        let next = shipments::until_next(&mut connection, starts, in_flight).await?;
        Ok(next.map_or(longest, |next| next.min(longest)))
    }

    async fn status(
        connection: &mut Connection,
        starts: &[ShardStart],
    ) -> Result<QueueStatus, StoreError> {
        shipments::status(connection, starts).await
    }
}
