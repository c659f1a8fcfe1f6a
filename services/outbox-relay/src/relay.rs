//! The relay's loop: hold a fair share of the shards, take the oldest rows, publish, mark.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use contracts::cloud_events::Attributes;
use messaging::{Publication, PublishError, Publisher};
use service_kit::outage::Outage;
use service_kit::retry::FIRST_WAIT;
use store::outbox::{self, HeldShard, OutboxRow};
use store::{Database, StoreError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Config;
use crate::settle::Settler;

/// Carries events from the outbox to Kafka.
#[derive(Debug)]
pub struct Relay {
    database: Database,
    dead_letters_topic: String,
    publisher: Publisher,
    /// Names this relay among the others; new with every start, so that no lease is inherited by mistake.
    id: Uuid,
    poll_interval: Duration,
    lease: Duration,
    publish_and_mark: Duration,
    per_shard: i64,
    held: Vec<HeldShard>,
    /// When the leases were last renewed, taken before the database was asked.
    renewed_at: Option<Instant>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Events that were published and marked.
    pub published: usize,
    /// Events that were put aside.
    pub dead_lettered: usize,
    /// Rows that were seen but have to wait: for a row of the same order before them, or for their next attempt.
    pub held_back: usize,
}

/// Why a step could not be finished. Nothing is lost: what was not marked is found again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database.
    #[error("the outbox cannot be read or marked")]
    Store(#[from] StoreError),
    /// The broker, or a topic. No row is blamed for it.
    #[error("events cannot be published")]
    Kafka(#[source] PublishError),
}

impl Relay {
    /// A relay that holds nothing yet.
    pub fn new(config: &Config, database: Database, publisher: Publisher) -> Self {
        Self {
            database,
            dead_letters_topic: config.dead_letters_topic.clone(),
            publisher,
            id: Uuid::new_v4(),
            poll_interval: config.outbox_poll_interval,
            lease: config.outbox_lease,
            publish_and_mark: config.publish_and_mark(),
            per_shard: config.outbox_shard_batch,
            held: Vec::new(),
            renewed_at: None,
        }
    }

    /// Steps until `shutdown`; the step in hand is finished, then the shards are handed over.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut outage = Outage::of("outbox or kafka");
        while !shutdown.is_cancelled() {
            let wait = match self.run_once().await {
                Ok(step) => {
                    outage.over();
                    self.wait_after(step)
                }
                Err(error) => outage.failed(&error),
            };
            shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
        }
        if let Err(error) = self.release().await {
            tracing::warn!(error = %service_kit::Chain(&error), "shards not handed over, their leases will run out");
        }
        Ok(())
    }

    /// One step: renew the leases if it is time, publish the oldest rows, mark them.
    pub async fn run_once(&mut self) -> Result<Step, RelayError> {
        self.hold_share().await?;
        let shards = self.held.iter().map(|held| held.shard).collect();
        let rows = {
            let mut connection = self.database.connection().await?;
            outbox::claim(&mut connection, &shards, self.per_shard).await?
        };
        let seen = rows.len();
        let batch = one_an_order(rows);
        let held_back = seen - batch.len();
        if batch.is_empty() {
            return Ok(Step { held_back, ..Step::default() });
        }
        if !self.holds_for(self.publish_and_mark) {
            // The claim took so long that another relay may be about to publish the same rows.
            self.renewed_at = None;
            return Ok(Step { held_back: seen, ..Step::default() });
        }
        let publications: Vec<_> = batch.iter().map(publication).collect();
        let answers = self.publisher.publish(&publications).await;
        let mut connection = self.database.connection().await?;
        let settlement = Settler {
            connection: &mut connection,
            held: &self.held,
            dead_letters_topic: &self.dead_letters_topic,
        }
        .settle(batch.into_iter().zip(answers))
        .await?;
        if settlement.lease_lost {
            tracing::warn!(
                "a lease was lost while events were published, they will be published again"
            );
            // The next step asks the database which ones are left.
            self.renewed_at = None;
        }
        match settlement.unavailable {
            Some(error) => Err(RelayError::Kafka(error)),
            None => Ok(Step {
                published: settlement.published,
                dead_lettered: settlement.dead_lettered,
                held_back,
            }),
        }
    }

    /// Renews at a third of the lease, so that two renewals can fail. Nothing is in flight here, so shards can be
    /// given away.
    async fn hold_share(&mut self) -> Result<(), StoreError> {
        if self.renewed_at.is_some_and(|at| at.elapsed() < self.lease / 3) {
            return Ok(());
        }
        let asked_at = Instant::now();
        let lease_ms = i64::try_from(self.lease.as_millis()).unwrap_or(i64::MAX);
        // Until the answer is here, nothing is held for certain.
        let before: HashSet<i16> = self.held.drain(..).map(|held| held.shard).collect();
        self.renewed_at = None;
        let mut connection = self.database.connection().await?;
        self.held = outbox::share(&mut connection, self.id, lease_ms).await?;
        self.renewed_at = Some(asked_at);
        let now: HashSet<i16> = self.held.iter().map(|held| held.shard).collect();
        if now != before {
            tracing::info!(
                shards = now.len(),
                gained = now.difference(&before).count(),
                "shards changed hands"
            );
        }
        metrics::gauge!("outbox_shards_held")
            .set(f64::from(u32::try_from(now.len()).unwrap_or(u32::MAX)));
        Ok(())
    }

    /// Whether the leases last as long as that, by a clock that began before they did.
    fn holds_for(&self, duration: Duration) -> bool {
        self.renewed_at.is_some_and(|at| at.elapsed() + duration <= self.lease)
    }

    async fn release(&self) -> Result<(), StoreError> {
        let mut connection = self.database.connection().await?;
        outbox::release(&mut connection, self.id).await
    }

    /// At once while there is work; after a pause when nothing is there or what is there has to wait.
    fn wait_after(&self, step: Step) -> Duration {
        match step {
            Step { published: 0, dead_lettered: 0, held_back: 0 } => self.poll_interval,
            Step { published: 0, dead_lettered: 0, .. } => FIRST_WAIT.min(self.poll_interval),
            _ => Duration::ZERO,
        }
    }
}

/// Keeps the first row of each order, if it is due: a row that is refused can't be overtaken by its successor.
fn one_an_order(rows: Vec<OutboxRow>) -> Vec<OutboxRow> {
    let mut orders = HashSet::new();
    rows.into_iter().filter(|row| orders.insert(row.event.aggregate_id) && row.due).collect()
}

fn publication(row: &OutboxRow) -> Publication {
    let event = &row.event;
    Publication {
        topic: event.topic.clone(),
        key: event.aggregate_id.to_string(),
        attributes: Attributes {
            id: event.event_id,
            source: event.headers.source.clone(),
            event_type: event.event_type.clone(),
            time: event.occurred_at,
            subject: event.aggregate_id.as_uuid(),
            data_schema: event.headers.data_schema.clone(),
            correlation_id: event.headers.correlation_id.clone(),
            trace: event.headers.trace(),
        },
        payload: event.payload.clone(),
    }
}

#[cfg(test)]
mod tests {
    use domain::OrderId;
    use store::outbox::{EventHeaders, OutboxEvent};

    use super::*;

    fn row(order: OrderId, seq: i64, due: bool) -> OutboxRow {
        let headers = EventHeaders {
            source: "/test".into(),
            data_schema: "urn:sales:test:1.0".into(),
            correlation_id: None,
            traceparent: None,
            tracestate: None,
        };
        let event = OutboxEvent {
            event_id: Uuid::nil(),
            aggregate_id: order,
            topic: "t".into(),
            event_type: "test".into(),
            payload: "{}".into(),
            headers,
            occurred_at: std::time::SystemTime::UNIX_EPOCH.into(),
        };
        OutboxRow { shard: 0, seq, event, attempts: 0, due }
    }

    #[test]
    fn a_batch_has_the_oldest_row_of_each_order() {
        let (a, b) = (OrderId::generate(), OrderId::generate());
        let batch = one_an_order(vec![row(a, 1, true), row(a, 2, true), row(b, 3, true)]);
        assert_eq!(batch.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_row_that_waits_is_not_overtaken_by_its_own_order() {
        let (a, b) = (OrderId::generate(), OrderId::generate());
        let batch = one_an_order(vec![row(a, 1, false), row(a, 2, true), row(b, 3, true)]);
        assert_eq!(batch.iter().map(|row| row.seq).collect::<Vec<_>>(), [3]);
    }
}
