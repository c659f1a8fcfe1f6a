//! Applies delivery events to the status of their orders.

use contracts::delivery_events::{CancellationRefused, DeliveryEvent, StepReported};
use contracts::envelope::Envelope;
use messaging::consumer::{Handler, HandlerError};
use store::Database;
use store::orders::{self, ApplyError, Report, ReportedRefusal, ReportedStep};

/// A batch of this size is applied on two connections: the consumer has fallen behind, and one
/// connection uses one processor of the database. A smaller one would only need a second commit.
const LARGE_BATCH: usize = 500;

/// Number of connections that apply a large batch.
pub(crate) const CONNECTIONS: usize = 2;

/// Applies whole batches, each in one transaction, or in two if it is large.
#[derive(Debug)]
pub(crate) struct Apply {
    pub(crate) database: Database,
}

impl Handler for Apply {
    type Event = DeliveryEvent;

    async fn handle(&self, batch: &[Envelope<DeliveryEvent>]) -> Result<(), HandlerError> {
        let batch: Vec<Report> = batch.iter().map(report).collect();
        self.apply(batch).await.map_err(handler_error)
    }
}

impl Apply {
    /// If one of two transactions fails, the events of the other one are duplicates in the next
    /// attempt.
    async fn apply(&self, batch: Vec<Report>) -> Result<(), ApplyError> {
        if batch.len() < LARGE_BATCH {
            return self.apply_together(&batch).await;
        }
        // The last bit of an id is random, and all events of an order are in the same part.
        let is_even = |event: &Report| event.order_id().as_uuid().as_u128() & 1 == 0;
        let (even, odd): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_even);
        let (even, odd) = tokio::join!(self.apply_together(&even), self.apply_together(&odd));
        even.and(odd)
    }

    /// Applies events in one transaction, and counts them.
    async fn apply_together(&self, batch: &[Report]) -> Result<(), ApplyError> {
        let mut connection = self.database.connection().await?;
        let applied = orders::apply(&mut connection, batch).await?;
        metrics::counter!("status_applied_total").increment(applied.advanced as u64);
        metrics::counter!("status_duplicates_total").increment(applied.duplicates as u64);
        metrics::counter!("status_stale_total").increment(applied.stale as u64);
        Ok(())
    }
}

fn report(envelope: &Envelope<DeliveryEvent>) -> Report {
    match &envelope.event {
        DeliveryEvent::Step(StepReported { order_id, step, at }) => Report::Step(ReportedStep {
            event_id: envelope.attributes.id,
            order_id: *order_id,
            step: *step,
            at: *at,
        }),
        DeliveryEvent::CancellationRefused(CancellationRefused {
            order_id,
            reason,
            refused_at,
        }) => Report::Refusal(ReportedRefusal {
            order_id: *order_id,
            reason: reason.clone(),
            at: *refused_at,
        }),
    }
}

fn handler_error(error: ApplyError) -> HandlerError {
    let class = match &error {
        ApplyError::Store(store) if store.is_transient() => {
            return HandlerError::Transient(error.into());
        }
        ApplyError::Store(_) => "not-storable",
        ApplyError::UnknownOrder(_) => "unknown-order",
        ApplyError::Gap { .. } => "status-gap",
        ApplyError::Conflict { .. } => "status-conflict",
        ApplyError::UnknownCancellation(_) => "unknown-cancellation",
    };
    HandlerError::Permanent { class, source: error.into() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::Utc;
    use contracts::message::Origin;
    use domain::DeliveryStep::{Delivered, Shipped};
    use domain::{Currency, OrderId};
    use store::orders::{NewOrder, insert_batch};
    use test_kit::{World, order_draft};
    use uuid::Uuid;

    use super::*;

    async fn place(world: &World, orders: usize) -> Vec<OrderId> {
        let draft = order_draft();
        let new = || {
            let key = OrderId::generate().to_string().try_into().unwrap();
            let owner = "alice".to_owned().try_into().unwrap();
            NewOrder::new(owner, key, draft.clone(), Currency::EUR, Origin::new("/test", "test"))
        };
        let orders: Vec<NewOrder> = std::iter::repeat_with(new).take(orders).collect();
        let mut connection = world.store().connection().await.unwrap();
        let refs: Vec<&NewOrder> = orders.iter().collect();
        insert_batch(&mut connection, &refs).await.unwrap();
        orders.iter().map(|order| order.id).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_large_batch_is_applied_once_on_two_connections() {
        let world = World::create().await;
        let orders = place(&world, LARGE_BATCH / 2).await;
        let steps = orders.iter().flat_map(|order| {
            [Shipped, Delivered].map(|step| ReportedStep {
                event_id: Uuid::new_v4(),
                order_id: *order,
                step,
                at: Utc::now(),
            })
        });
        let steps: Vec<ReportedStep> = steps.collect();
        let reports: Vec<Report> = steps.iter().cloned().map(Report::Step).collect();
        let database = Database::with_generic_plans("large-batch", &world.config());
        let apply = Apply { database };
        let expected: BTreeSet<String> =
            steps.iter().map(|step| step.event_id.to_string()).collect();
        // The second time, all of them are duplicates.
        for _ in 0..2 {
            apply.apply(reports.clone()).await.unwrap();
            let events = "SELECT event_id::text FROM sales.order_status_history WHERE sequence > 1";
            let events = world.database.query(events).await;
            assert_eq!(events.len(), expected.len());
            assert_eq!(events.iter().map(|row| row.get(0)).collect::<BTreeSet<String>>(), expected);
            let open = "SELECT count(*) FROM sales.orders WHERE status <> 'Delivered'";
            assert_eq!(world.database.count(open).await, 0);
        }
        let connections = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'large-batch'";
        assert_eq!(usize::try_from(world.database.count(connections).await), Ok(CONNECTIONS));
    }
}
