//! A lane: one step after the other over its shards, side by side with the other lanes.
//!
//! It remembers nothing from one step to the next. A row that is committed late is simply found the next time.

use std::collections::HashSet;
use std::mem;
use std::ops::Add;
use std::sync::Arc;
use std::time::Duration;

use contracts::cloud_events::Attributes;
use futures::FutureExt;
use futures::future::pending;
use messaging::{Publication, PublishError, Publisher};
use service_kit::outage::Outage;
use service_kit::retry::FIRST_WAIT;
use store::outbox::{self, Claimed, OutboxRow};
use store::{Database, StoreError};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::leases::Tenure;
use crate::settle::Settler;
use crate::wake::Wakes;

/// What the lanes of a relay have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) database: Database,
    pub(crate) publisher: Publisher,
    pub(crate) dead_letters_topic: String,
    pub(crate) per_shard: i64,
    pub(crate) lanes: usize,
    pub(crate) poll_interval: Duration,
    /// The longest that a batch takes from the send to the mark.
    pub(crate) publish_and_mark: Duration,
    pub(crate) wakes: Wakes,
}

/// One of the lanes.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) number: usize,
    shared: Arc<Shared>,
    outage: Outage,
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
    /// There may be more than one step takes.
    pub behind: bool,
}

impl Add for Step {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            published: self.published + other.published,
            dead_lettered: self.dead_lettered + other.dead_lettered,
            held_back: self.held_back + other.held_back,
            behind: self.behind || other.behind,
        }
    }
}

/// Why a step could not be finished. Nothing is lost: what was not marked is found again.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database.
    #[error("the outbox cannot be read or marked")]
    Store(#[from] StoreError),
    /// The broker, or a topic. No row is blamed for it.
    #[error("events for the topic {topic} cannot be published")]
    Kafka {
        /// Where they should go.
        topic: String,
        /// The reason.
        source: PublishError,
    },
}

impl Lane {
    pub(crate) fn new(number: usize, shared: Arc<Shared>, outage: Outage) -> Self {
        Self { number, shared, outage }
    }

    /// Steps until the tenure is over, or until `shutdown`. The step in hand is finished.
    pub(crate) async fn work(mut self, tenure: Arc<Tenure>, shutdown: CancellationToken) -> Self {
        while !tenure.is_over() && !shutdown.is_cancelled() {
            let (pause, woken) = match self.step(&tenure).await {
                Ok(step) => {
                    self.outage.over();
                    (self.pause_after(step), self.shared.wakes.woken(self.number).left_future())
                }
                // Whoever commits an event ends no outage.
                Err(error) => (self.outage.failed(&error), pending().right_future()),
            };
            if pause > Duration::ZERO {
                tokio::select! {
                    () = sleep_until(tenure.renewal().min(Instant::now() + pause)) => {}
                    () = woken => {}
                    () = tenure.ended() => {}
                    () = shutdown.cancelled() => {}
                }
            }
        }
        self
    }

    /// Publishes the oldest rows of the lane's shards and marks them.
    pub(crate) async fn step(&self, tenure: &Tenure) -> Result<Step, RelayError> {
        let shared = &*self.shared;
        let held = tenure.of_lane(self.number, shared.lanes);
        if held.is_empty() {
            return Ok(Step::default());
        }
        let shards = held.iter().map(|held| held.shard).collect();
        let Claimed { rows, more: behind } = {
            let mut connection = shared.database.connection().await?;
            outbox::claim(&mut connection, &shards, shared.per_shard).await?
        };
        let seen = rows.len();
        let mut batch = one_an_order(rows);
        let held_back = seen - batch.len();
        if batch.is_empty() {
            return Ok(Step { held_back, ..Step::default() });
        }
        if !tenure.lasts(shared.publish_and_mark) {
            tracing::warn!(
                "the claim took so long that the leases may run out, they are renewed first"
            );
            tenure.lose();
            return Ok(Step { held_back: seen, ..Step::default() });
        }
        let publications: Vec<_> = batch.iter_mut().map(publication).collect();
        let answers = shared.publisher.publish(publications).await;
        let mut connection = shared.database.connection().await?;
        let settler = Settler {
            connection: &mut connection,
            held: &held,
            dead_letters_topic: &shared.dead_letters_topic,
        };
        let settlement = settler.settle(batch.into_iter().zip(answers)).await?;
        if settlement.lease_lost {
            tracing::warn!(
                "a lease was lost while events were published, they will be published again"
            );
            tenure.lose();
        }
        match settlement.unavailable {
            Some((topic, source)) => Err(RelayError::Kafka { topic, source }),
            None => Ok(Step {
                published: settlement.published,
                dead_lettered: settlement.dead_lettered,
                held_back: held_back + settlement.put_off,
                behind,
            }),
        }
    }

    /// Until the next step: none while there is more than one step takes, and a short one where something has to wait.
    /// Otherwise until there is news: to look again at once would find a row or two, at the cost of a commit.
    fn pause_after(&self, step: Step) -> Duration {
        let poll_interval = self.shared.poll_interval;
        match step {
            Step { behind: true, .. } => Duration::ZERO,
            Step { published: 0, dead_lettered: 0, held_back: 1.., .. } => {
                FIRST_WAIT.min(poll_interval)
            }
            // The next of an order; or the announcement of a dead letter.
            Step { held_back: 1.., .. } | Step { dead_lettered: 1.., .. } => Duration::ZERO,
            _ => poll_interval,
        }
    }
}

/// Keeps the first row of each order, if it is due: a row that is refused can't be overtaken by its successor.
fn one_an_order(rows: Vec<OutboxRow>) -> Vec<OutboxRow> {
    let mut orders = HashSet::with_capacity(rows.len());
    rows.into_iter().filter(|row| orders.insert(row.event.aggregate_id) && row.due).collect()
}

/// The payload goes into the record: there may be much of it, and nobody needs it twice.
fn publication(row: &mut OutboxRow) -> Publication {
    let event = &mut row.event;
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
        payload: mem::take(&mut event.payload),
    }
}

#[cfg(test)]
mod tests {
    use domain::OrderId;
    use store::outbox::{EventHeaders, OutboxEvent};
    use uuid::Uuid;

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
        OutboxRow { shard: 0, seq, event, attempts: 0, redrive_count: 0, due }
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
