//! Settles events after the response of the broker: marks accepted events, returns those that
//! failed because of a condition, and dead-letters those that can never be accepted.

use contracts::cloud_events::{data_schema, trace_id};
use contracts::event_id::event_id;
use contracts::outbox_events::{
    OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION, OutboxDeadLettered,
};
use messaging::{PoisonBreaker, PublishError};
use service_kit::Chain;
use store::outbox::{self, ClaimedRow, EventHeaders, HeldShard, OutboxEvent, OutboxRow};
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
        answers: Vec<(OutboxRow, Result<(), PublishError>)>,
    ) -> Result<Settlement, StoreError> {
        let mut settlement = Settlement::default();
        let answered = answers.len();
        let mut published = Vec::with_capacity(answered);
        let mut refused = Vec::new();
        for (row, answer) in answers {
            let Some(held) = self.held.iter().find(|held| held.shard == row.shard) else {
                continue;
            };
            let place = ClaimedRow { held: *held, seq: row.seq };
            match answer {
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

fn report(event: &OutboxEvent, reason: &str) {
    metrics::counter!("outbox_dead_letters_total").increment(1);
    tracing::error!(
        order_id = %event.aggregate_id,
        event_id = %event.event_id,
        correlation_id = event.headers.correlation_id,
        trace_id = event.headers.traceparent.as_deref().and_then(trace_id),
        error = reason,
        "event dead-lettered"
    );
}

/// The `outbox.dead-lettered` event, which goes through the outbox like any other. If it is refused
/// itself, it is not announced again.
fn announcement(row: &OutboxRow, reason: &str, topic: &str) -> Option<OutboxEvent> {
    let OutboxRow { event, redrive_count, .. } = row;
    if event.topic == topic {
        return None;
    }
    let payload = serde_json::to_string(&OutboxDeadLettered {
        order_id: event.aggregate_id,
        event_id: event.event_id,
        event_type: event.event_type.clone(),
        topic: event.topic.clone(),
        reason: reason.to_owned(),
    });
    Some(OutboxEvent {
        // Each redrive gets its own id, so that an event that is refused again is announced again.
        event_id: event_id(
            event.aggregate_id,
            &format!("{OUTBOX_DEAD_LETTERED}/{}/{redrive_count}", event.event_id),
        ),
        aggregate_id: event.aggregate_id,
        topic: topic.to_owned(),
        event_type: OUTBOX_DEAD_LETTERED.to_owned(),
        payload: payload
            .inspect_err(|error| tracing::error!(%error, "dead letter not announced"))
            .ok()?,
        headers: EventHeaders {
            source: "/outbox-relay".to_owned(),
            data_schema: data_schema(OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION),
            ..event.headers.clone()
        },
        occurred_at: event.occurred_at,
    })
}
