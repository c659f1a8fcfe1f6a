//! The outbox as a queue.

use std::sync::Arc;

use contracts::message::{EventMessage, Origin};
use contracts::outbox_events::OutboxDeadLettered;
use publishing::Queue;
use store::outbox::{self, OutboxRow};
use store::shards::{Claimed, Held, HeldShard, QueueName, QueueStatus, ShardStart};
use store::{Connection, StoreError};
use uuid::Uuid;

/// The events that were committed with what they report. Notifications of sales-api announce them.
#[derive(Debug)]
pub struct Outbox {
    /// Topic of `outbox.dead-lettered` events.
    pub(crate) dead_letters_topic: String,
}

impl Queue for Outbox {
    type Row = OutboxRow;

    const NAME: QueueName = QueueName::Outbox;

    fn shard(row: &OutboxRow) -> i16 {
        row.shard
    }

    fn order(row: &OutboxRow) -> Uuid {
        row.event.attributes.subject
    }

    fn message(&self, row: &OutboxRow) -> Arc<EventMessage> {
        row.event.clone()
    }

    async fn claim(
        &self,
        connection: &mut Connection,
        starts: &[ShardStart],
        in_flight: &[Uuid],
        per_shard: i64,
    ) -> Result<Claimed<OutboxRow>, StoreError> {
        outbox::claim(connection, starts, in_flight, per_shard).await
    }

    async fn mark(
        &self,
        connection: &mut Connection,
        rows: &[Held<OutboxRow>],
    ) -> Result<usize, StoreError> {
        outbox::delete_published(connection, rows).await
    }

    async fn defer(
        &self,
        connection: &mut Connection,
        rows: &[Held<OutboxRow>],
        reason: &str,
    ) -> Result<usize, StoreError> {
        outbox::defer(connection, rows, reason).await
    }

    async fn dead_letter(
        &self,
        connection: &mut Connection,
        held: HeldShard,
        row: &OutboxRow,
        reason: &str,
    ) -> Result<bool, StoreError> {
        let announcement = self.announcement(row, reason);
        outbox::dead_letter(connection, held, row, reason, announcement.as_ref()).await
    }

    async fn status(
        connection: &mut Connection,
        starts: &[ShardStart],
    ) -> Result<QueueStatus, StoreError> {
        Ok(outbox::sample_status(connection, starts).await?.into())
    }
}

impl Outbox {
    /// The `outbox.dead-lettered` event, which goes through the outbox like any other. If it is
    /// refused itself, it is not announced again.
    fn announcement(&self, row: &OutboxRow, reason: &str) -> Option<EventMessage> {
        let OutboxRow { event, redrive_count, .. } = row;
        let topic = &self.dead_letters_topic;
        if event.topic == *topic {
            return None;
        }
        let attributes = event.attributes.clone();
        let dead_lettered = OutboxDeadLettered {
            order_id: event.order_id(),
            event_id: attributes.id,
            event_type: attributes.event_type,
            topic: event.topic.clone(),
            reason: reason.to_owned(),
        };
        let (correlation_id, trace) = (attributes.correlation_id, attributes.trace);
        let origin = Origin { source: "/outbox-relay", topic, correlation_id, trace };
        Some(dead_lettered.message(*redrive_count, attributes.time, origin))
    }
}
