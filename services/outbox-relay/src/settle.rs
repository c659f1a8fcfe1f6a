//! After the broker has answered: mark what it took, blame nobody for an outage, put aside what can never go.

use std::time::Duration;

use contracts::cloud_events::{data_schema, trace_id};
use contracts::event_id::event_id;
use contracts::outbox_events::{
    OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION, OutboxDeadLettered,
};
use messaging::PublishError;
use service_kit::Chain;
use service_kit::retry::RetrySchedule;
use store::outbox::{self, EventHeaders, HeldShard, OutboxEvent, OutboxRow, PublishedRow};
use store::{Connection, StoreError};

/// How often a record is tried that is refused for a reason nobody knows.
const MAX_ATTEMPTS: i16 = 5;

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    /// Events that were published and marked.
    pub(crate) published: usize,
    /// Events that were put aside.
    pub(crate) dead_lettered: usize,
    /// Events that are tried again later.
    pub(crate) put_off: usize,
    /// Another relay has taken over a shard meanwhile: what was published for it is published again.
    pub(crate) lease_lost: bool,
    /// For which topic events have to wait, if they have to, and why.
    pub(crate) unavailable: Option<(String, PublishError)>,
}

/// Settles batches under the leases of one relay.
pub(crate) struct Settler<'a> {
    pub(crate) connection: &'a mut Connection,
    pub(crate) held: &'a [HeldShard],
    pub(crate) dead_letters_topic: &'a str,
}

impl Settler<'_> {
    /// Acknowledged rows are always marked first, whatever became of the others.
    pub(crate) async fn settle(
        mut self,
        answers: impl IntoIterator<Item = (OutboxRow, Result<(), PublishError>)>,
    ) -> Result<Settlement, StoreError> {
        let mut settlement = Settlement::default();
        let mut published = Vec::new();
        let mut refused = Vec::new();
        for (row, answer) in answers {
            let Some(held) = self.held.iter().find(|held| held.shard == row.shard) else {
                continue;
            };
            let place = PublishedRow { held: *held, seq: row.seq };
            match answer {
                Ok(()) => published.push(place),
                Err(error) if error.is_outage() => {
                    settlement.unavailable = Some((row.event.topic, error));
                }
                Err(error) => refused.push((row, place, error)),
            }
        }
        if !published.is_empty() {
            settlement.published = outbox::delete_published(self.connection, &published).await?;
            settlement.lease_lost = settlement.published < published.len();
            metrics::counter!("outbox_published_total").increment(settlement.published as u64);
        }
        for (row, place, error) in refused {
            self.refuse(&row, place, &error, &mut settlement).await?;
        }
        Ok(settlement)
    }

    /// Counts a refusal, or puts the event aside for good.
    async fn refuse(
        &mut self,
        row: &OutboxRow,
        place: PublishedRow,
        error: &PublishError,
        settlement: &mut Settlement,
    ) -> Result<(), StoreError> {
        let reason = Chain(error).to_string();
        let hopeless =
            matches!(error, PublishError::Refused(_)) || row.attempts + 1 >= MAX_ATTEMPTS;
        let lease_held = if hopeless {
            let announcement = announcement(row, &reason, self.dead_letters_topic);
            let moved =
                outbox::dead_letter(self.connection, place, &reason, announcement.as_ref()).await?;
            if moved {
                settlement.dead_lettered += 1;
                report(&row.event, error, &reason);
            }
            moved
        } else {
            let wait_ms = i64::try_from(wait_after(row.attempts).as_millis()).unwrap_or(i64::MAX);
            settlement.put_off += 1;
            outbox::record_failure(self.connection, place, wait_ms, &reason).await?
        };
        settlement.lease_lost |= !lease_held;
        Ok(())
    }
}

fn report(event: &OutboxEvent, error: &PublishError, reason: &str) {
    let class = match error {
        PublishError::Refused(_) => "refused",
        _ => "attempts-exhausted",
    };
    metrics::counter!("outbox_dead_letters_total", "class" => class).increment(1);
    tracing::error!(
        order_id = %event.aggregate_id,
        event_id = %event.event_id,
        correlation_id = event.headers.correlation_id,
        trace_id = event.headers.traceparent.as_deref().and_then(trace_id),
        error = reason,
        "event dead-lettered"
    );
}

fn wait_after(attempts: i16) -> Duration {
    let mut schedule = RetrySchedule::default();
    (0..=attempts).map(|_| schedule.next_wait()).last().unwrap_or_default()
}

/// The small event that tells of a dead letter. It goes through the outbox like any other; one that is refused
/// itself is not announced again.
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
        // An event that was put back and is refused again is news.
        event_id: event_id(
            event.aggregate_id,
            &format!("{OUTBOX_DEAD_LETTERED}/{}/{redrive_count}", event.event_id),
        ),
        aggregate_id: event.aggregate_id,
        topic: topic.to_owned(),
        event_type: OUTBOX_DEAD_LETTERED.to_owned(),
        payload: payload.ok()?,
        headers: EventHeaders {
            source: "/outbox-relay".to_owned(),
            data_schema: data_schema(OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION),
            ..event.headers.clone()
        },
        occurred_at: event.occurred_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_one_row_waits_longer() {
        let waits: Vec<_> = (0..5).map(|attempts| wait_after(attempts).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600]);
    }
}
