//! Settles events after the response of the broker: marks accepted events, returns those that
//! failed because of a condition, and dead-letters those that can never be accepted.

use contracts::cloud_events::TraceContext;
use contracts::message::{EventMessage, Origin};
use contracts::outbox_events::OutboxDeadLettered;
use messaging::{PoisonBreaker, PublishError};
use service_kit::Chain;
use store::outbox::{self, ClaimedRow, HeldShard, OutboxRow};
use store::{Connection, StoreError};

/// The outcome of a batch.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    /// Events that were published and marked.
    pub(crate) published: usize,
    /// Events that were dead-lettered.
    pub(crate) dead_lettered: usize,
    /// Another relay has taken over a shard: its events may be published again.
    pub(crate) lease_lost: bool,
    /// Events that could not be published because of a condition.
    pub(crate) unavailable: Vec<(ClaimedRow, OutboxRow, PublishError)>,
}

/// Settles batches under the leases of one relay.
pub(crate) struct Settler<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) held: &'a [HeldShard],
    pub(crate) dead_letters_topic: &'a str,
    pub(crate) breaker: &'a mut PoisonBreaker,
}

impl Settler<'_> {
    /// Always marks acknowledged rows first, whatever the outcome of the others.
    pub(crate) async fn settle(
        mut self,
        reports: Vec<(OutboxRow, Result<(), PublishError>)>,
    ) -> Result<Settlement, StoreError> {
        let mut settlement = Settlement::default();
        let mut published = Vec::with_capacity(reports.len());
        let mut refused = Vec::new();
        for (row, result) in reports {
            let Some(held) = self.held.iter().find(|held| held.shard == row.shard) else {
                continue;
            };
            let place = ClaimedRow { held: *held, seq: row.seq };
            match result {
                Ok(()) => published.push(place),
                Err(error) if error.is_condition() => {
                    settlement.unavailable.push((place, row, error));
                }
                Err(error) => refused.push((place, row, error)),
            }
        }
        if !published.is_empty() {
            settlement.published = outbox::delete_published(self.connection, &published).await?;
            settlement.lease_lost = settlement.published < published.len();
            metrics::counter!("outbox_published_total").increment(settlement.published as u64);
        }
        if self.breaker.is_suspicious(refused.len(), published.len()) && !refused.is_empty() {
            metrics::counter!("outbox_held_events_total").increment(refused.len() as u64);
            tracing::error!(
                refused = refused.len(),
                "most of the latest events were refused; none is dead-lettered; check the settings of their topics"
            );
            settlement.unavailable.append(&mut refused);
        }
        for (place, row, error) in refused {
            self.dead_letter(&row, place, &error, &mut settlement).await?;
        }
        Ok(settlement)
    }

    /// Moves an event that can never be published to the dead letters.
    async fn dead_letter(
        &mut self,
        row: &OutboxRow,
        place: ClaimedRow,
        error: &PublishError,
        settlement: &mut Settlement,
    ) -> Result<(), StoreError> {
        let reason = Chain(error).to_string();
        let announcement = announcement(row, &reason, self.dead_letters_topic);
        let moved =
            outbox::dead_letter(self.connection, place, &reason, announcement.as_ref()).await?;
        if moved {
            settlement.dead_lettered += 1;
            report(&row.event, &reason);
        }
        settlement.lease_lost |= !moved;
        Ok(())
    }
}

fn report(event: &EventMessage, reason: &str) {
    metrics::counter!("outbox_dead_letters_total").increment(1);
    let attributes = &event.attributes;
    tracing::error!(
        order_id = %attributes.subject,
        event_id = %attributes.id,
        correlation_id = attributes.correlation_id,
        trace_id = attributes.trace.as_ref().and_then(TraceContext::trace_id),
        error = reason,
        "event dead-lettered"
    );
}

/// The `outbox.dead-lettered` event, which goes through the outbox like any other. If it is refused
/// itself, it is not announced again.
fn announcement(row: &OutboxRow, reason: &str, topic: &str) -> Option<EventMessage> {
    let OutboxRow { event, redrive_count, .. } = row;
    if event.topic == topic {
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
