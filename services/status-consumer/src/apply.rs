//! Applies delivery events to the status of their orders.

use contracts::delivery_events::DeliveryEvent;
use contracts::envelope::Envelope;
use messaging::consumer::{Handler, HandlerError};
use store::Database;
use store::orders::{self, Applied, ApplyError, ReportedStep};

/// Applies whole batches, each in one transaction.
#[derive(Debug)]
pub(crate) struct Apply {
    pub(crate) database: Database,
}

impl Handler for Apply {
    type Event = DeliveryEvent;

    async fn handle(&self, batch: &[Envelope<DeliveryEvent>]) -> Result<(), HandlerError> {
        let batch: Vec<ReportedStep> = batch.iter().map(reported_step).collect();
        let applied = self.apply(&batch).await.map_err(handler_error)?;
        metrics::counter!("status_applied_total").increment(applied.advanced as u64);
        metrics::counter!("status_duplicates_total").increment(applied.duplicates as u64);
        metrics::counter!("status_stale_total").increment(applied.stale as u64);
        Ok(())
    }
}

impl Apply {
    async fn apply(&self, batch: &[ReportedStep]) -> Result<Applied, ApplyError> {
        let mut connection = self.database.connection().await?;
        orders::apply(&mut connection, batch).await
    }
}

fn reported_step(envelope: &Envelope<DeliveryEvent>) -> ReportedStep {
    let DeliveryEvent { order_id, step, at } = envelope.event;
    ReportedStep { event_id: envelope.attributes.id, order_id, step, at }
}

fn handler_error(error: ApplyError) -> HandlerError {
    let class = match &error {
        ApplyError::Store(store) if store.is_transient() => {
            return HandlerError::Transient(error.into());
        }
        ApplyError::Store(_) => "not-storable",
        ApplyError::UnknownOrder(_) => "unknown-order",
        ApplyError::Gap { .. } => "status-gap",
    };
    HandlerError::Permanent { class, source: error.into() }
}
