//! The due shipments as a queue: the row of a shipment is both the timer and the outbox of its next
//! step.

use std::sync::Arc;
use std::time::Duration;

use contracts::delivery_events::DeliveryEvent;
use contracts::message::{EventMessage, Origin};
use domain::OrderId;
use publishing::Queue;
use store::shards::{Claimed, Held, HeldShard, QueueName, QueueStatus, ShardStart};
use store::shipments::{self, DueShipment, StepDone};
use store::{Connection, Database, StoreError};
use uuid::Uuid;

use crate::delays::Delays;

/// The steps that are due. A published step starts the timer of the next one.
#[derive(Debug)]
pub(crate) struct DueSteps {
    /// Topic of the steps.
    pub(crate) topic: String,
    pub(crate) delays: Delays,
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
        let event = DeliveryEvent { order_id: due.order_id, step: due.step, at: due.due_at };
        Arc::new(event.message(Origin {
            source: "/delivery-service",
            topic: &self.topic,
            correlation_id: due.correlation_id.clone(),
            trace: due.trace.clone(),
        }))
    }

    async fn claim(
        &self,
        connection: &mut Connection,
        starts: &[ShardStart],
        in_flight: &[Uuid],
        per_shard: i64,
    ) -> Result<Claimed<DueShipment>, StoreError> {
        shipments::claim(connection, starts, in_flight, per_shard).await
    }

    async fn mark(
        &self,
        connection: &mut Connection,
        steps: &[Held<DueShipment>],
    ) -> Result<usize, StoreError> {
        let done = |(held, due): &Held<DueShipment>| StepDone {
            held: *held,
            order_id: due.order_id,
            step: due.step,
            at: due.due_at,
            delay: self.delays.draw(),
        };
        let done: Vec<StepDone> = steps.iter().map(done).collect();
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
