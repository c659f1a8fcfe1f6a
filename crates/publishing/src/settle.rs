//! Settles events after the response of the broker: marks accepted events, returns those that
//! failed because of a condition, and dead-letters those that can never be accepted.

use std::sync::{Mutex, PoisonError};

use contracts::cloud_events::TraceContext;
use contracts::message::EventMessage;
use messaging::{PoisonBreaker, PublishError};
use service_kit::Chain;
use store::shards::{Held, HeldShard};
use store::{Connection, StoreError};

use crate::Queue;

/// The outcome of a batch.
#[derive(Debug)]
pub(crate) struct Settlement<R> {
    /// Events that were published and marked.
    pub(crate) published: usize,
    /// Events that were dead-lettered.
    pub(crate) dead_lettered: usize,
    /// Another instance has taken over a shard: its events may be published again.
    pub(crate) lease_lost: bool,
    /// Rows that could not be published because of a condition.
    pub(crate) unavailable: Vec<Held<R>>,
    /// The first of their errors.
    pub(crate) error: Option<PublishError>,
}

/// Settles batches under the leases of one instance.
pub(crate) struct Settler<'a, Q> {
    pub(crate) queue: &'a Q,
    pub(crate) connection: &'a mut Connection,
    pub(crate) held: &'a [HeldShard],
    pub(crate) breaker: &'a Mutex<PoisonBreaker>,
}

impl<Q: Queue> Settler<'_, Q> {
    /// Always marks acknowledged rows first, whatever the outcome of the others.
    pub(crate) async fn settle(
        mut self,
        reports: Vec<(Q::Row, Result<(), PublishError>)>,
    ) -> Result<Settlement<Q::Row>, StoreError> {
        let queue = Q::NAME.label();
        let mut acknowledged = Vec::with_capacity(reports.len());
        let (mut unavailable, mut refused) = (Vec::new(), Vec::new());
        for (row, result) in reports {
            let Some(held) = self.held.iter().find(|held| held.shard == Q::shard(&row)) else {
                continue;
            };
            match result {
                Ok(()) => acknowledged.push((*held, row)),
                Err(error) if error.is_condition() => unavailable.push((*held, row, error)),
                Err(error) => refused.push((*held, row, error)),
            }
        }
        let mut published = 0;
        if !acknowledged.is_empty() {
            published = self.queue.mark(self.connection, &acknowledged).await?;
            metrics::counter!("queue_published_total", "queue" => queue)
                .increment(published as u64);
        }
        let mut lease_lost = published < acknowledged.len();
        let is_suspicious = {
            let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
            breaker.is_suspicious(refused.len(), acknowledged.len())
        };
        if is_suspicious && !refused.is_empty() {
            metrics::counter!("queue_held_events_total", "queue" => queue)
                .increment(refused.len() as u64);
            tracing::error!(
                refused = refused.len(),
                "most of the latest events were refused; none is dead-lettered; check the settings of their topics"
            );
            unavailable.append(&mut refused);
        }
        let mut dead_lettered = 0;
        for (held, row, error) in refused {
            let moved = self.dead_letter(held, row, &error).await?;
            dead_lettered += usize::from(moved);
            lease_lost |= !moved;
        }
        let mut error = None;
        let unavailable = unavailable.into_iter().map(|(held, row, cause)| {
            error.get_or_insert(cause);
            (held, row)
        });
        let unavailable = unavailable.collect();
        Ok(Settlement { published, dead_lettered, lease_lost, unavailable, error })
    }

    /// Dead-letters an event that can never be published. Returns whether the lease was still
    /// valid.
    async fn dead_letter(
        &mut self,
        held: HeldShard,
        row: Q::Row,
        error: &PublishError,
    ) -> Result<bool, StoreError> {
        let reason = Chain(error).to_string();
        let moved = self.queue.dead_letter(self.connection, held, &row, &reason).await?;
        if moved {
            metrics::counter!("queue_dead_letters_total", "queue" => Q::NAME.label()).increment(1);
            report(&self.queue.message(&row), &reason);
        }
        Ok(moved)
    }
}

fn report(event: &EventMessage, reason: &str) {
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
