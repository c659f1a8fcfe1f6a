//! Steps that are due are published, then marked.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use contracts::cloud_events::{Attributes, data_schema};
use contracts::delivery_events::{DELIVERY_VERSION, DeliveryEvent, event_type};
use contracts::event_id::event_id;
use messaging::{Publication, PublishError, Publisher};
use service_kit::Heartbeat;
use service_kit::outage::Outage;
use store::shipments::{self, DueShipment, StepDone};
use store::{Database, StoreError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::delays::Delays;

/// Most steps that are published together.
const BATCH: i64 = 1000;

/// A pause after a step that took all that was due: what becomes due meanwhile goes together, instead of a few at a time
/// with two commits each.
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
}

/// Why steps stay due. They are found again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispatchError {
    /// The database.
    #[error("shipments cannot be read or marked")]
    Store(#[from] StoreError),
    /// The broker, or the topic.
    #[error("steps cannot be published")]
    Kafka(#[source] PublishError),
    /// An event could not be written down.
    #[error("an event cannot be encoded")]
    Encode(#[from] serde_json::Error),
}

impl Dispatcher {
    /// Steps until `shutdown`; the batch in hand is finished first.
    pub(crate) async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut outage = Outage::of("shipments or kafka");
        while !shutdown.is_cancelled() {
            self.heartbeat.beat();
            match self.run_once().await {
                Ok(0) => {
                    outage.over();
                    shutdown.run_until_cancelled(self.idle()).await;
                }
                Ok(steps) => {
                    outage.over();
                    if i64::try_from(steps).is_ok_and(|steps| steps < BATCH) {
                        shutdown.run_until_cancelled(tokio::time::sleep(GATHER)).await;
                    }
                }
                Err(error) => {
                    let wait = outage.failed(&error);
                    shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
                }
            }
        }
        Ok(())
    }

    /// Publishes what is due now and returns how many steps that were.
    pub(crate) async fn run_once(&self) -> Result<usize, DispatchError> {
        let token = Uuid::new_v4();
        let mut connection = self.database.connection().await?;
        let due = shipments::lease_due(&mut connection, token, self.lease, BATCH).await?;
        // No connection is held while Kafka is waited for.
        drop(connection);
        if due.is_empty() {
            return Ok(0);
        }
        let publications =
            due.iter().map(|due| self.publication(due)).collect::<Result<Vec<_>, _>>()?;
        let answers = self.publisher.publish(publications).await;

        let mut done = Vec::with_capacity(due.len());
        let mut waiting = Vec::new();
        let mut refused = None;
        for (due, answer) in due.into_iter().zip(answers) {
            match answer {
                Ok(()) => done.push(self.done(&due)),
                Err(error) => {
                    waiting.push(due.order_id);
                    refused = Some(error);
                }
            }
        }
        let mut connection = self.database.connection().await?;
        let marked = shipments::mark_done(&mut connection, token, &done).await?;
        if marked < done.len() {
            metrics::counter!("delivery_leases_lost_total").increment((done.len() - marked) as u64);
            tracing::warn!(
                lost = done.len() - marked,
                "a lease ran out, steps will be published again"
            );
        }
        metrics::counter!("delivery_steps_total").increment(marked as u64);
        if let Some(error) = refused {
            shipments::give_back(&mut connection, token, &waiting).await?;
            return Err(DispatchError::Kafka(error));
        }
        Ok(done.len())
    }

    /// Waits until the next step is due, a new order has arrived, or it is time to look again.
    async fn idle(&self) {
        let wait = self.until_next().await.unwrap_or(self.poll_interval);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = self.arrived.notified() => {}
        }
    }

    async fn until_next(&self) -> Result<Duration, StoreError> {
        let mut connection = self.database.connection().await?;
        shipments::until_next(&mut connection, self.poll_interval).await
    }

    fn publication(&self, due: &DueShipment) -> Result<Publication, serde_json::Error> {
        let event_type = event_type(due.step);
        let event = DeliveryEvent { order_id: due.order_id, step: due.step, at: due.due_at };
        Ok(Publication {
            topic: self.topic.clone(),
            key: due.order_id.to_string(),
            payload: event.encode()?,
            attributes: Attributes {
                id: event_id(due.order_id, event_type),
                source: "/delivery-service".to_owned(),
                event_type: event_type.to_owned(),
                time: due.due_at,
                subject: due.order_id.as_uuid(),
                data_schema: data_schema(event_type, DELIVERY_VERSION),
                correlation_id: due.correlation_id.clone(),
                trace: due.trace.clone(),
            },
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
