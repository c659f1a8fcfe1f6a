//! Applies delivery events: each event once, and each step only from the status that precedes it.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use domain::{DeliveryStep, OrderId, OrderStatus, Progress};
use uuid::Uuid;

use crate::schema::orders;
use crate::statement::statement;
use crate::{Connection, StoreError, inbox};

/// A delivery event to apply to its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedStep {
    /// The event's id.
    pub event_id: Uuid,
    /// The order's id.
    pub order_id: OrderId,
    /// The reported step.
    pub step: DeliveryStep,
    /// The time of the step.
    pub at: DateTime<Utc>,
}

/// Number of events in a batch, by effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that changed the status of their order.
    pub advanced: usize,
    /// Events that were already in the inbox, or repeated in the batch.
    pub duplicates: usize,
    /// New events that reported a step that the order had already reached.
    pub stale: usize,
}

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A database error.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The order of an event does not exist.
    #[error("order {0} does not exist")]
    UnknownOrder(OrderId),
    /// An event arrived before the event of the preceding step.
    #[error("step {step:?} cannot be applied to order {order} with status {status}")]
    Gap {
        /// The order.
        order: OrderId,
        /// Its current status.
        status: OrderStatus,
        /// The reported step.
        step: DeliveryStep,
    },
}

impl From<diesel::result::Error> for ApplyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

statement! {
    /// Updates the orders that have the step's initial status, and inserts history for these only.
    struct Advance {
        target: str, order_ids: Vec<Uuid>, event_ids: Vec<Uuid>, times: Vec<DateTime<Utc>>,
        origin: str, sequence: i16, history: str,
    } -> SqlUuid;
    "WITH moved AS (
        UPDATE sales.orders o SET status = " {Text = target} "
        FROM UNNEST(" {Array<SqlUuid> = order_ids} ", " {Array<SqlUuid> = event_ids} ", "
            {Array<Timestamptz> = times} ") AS e (order_id, event_id, occurred_at)
        WHERE o.id = e.order_id AND o.status = " {Text = origin} "
        RETURNING o.id, e.event_id, e.occurred_at
    )
    INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
    SELECT id, " {SmallInt = sequence} ", " {Text = history} ", event_id, occurred_at FROM moved
    RETURNING event_id"
}

/// Applies a batch in one transaction: all of its events, or none on an error.
///
/// The inbox row and the transition are committed together, so an event is never in the inbox
/// without its effect.
pub async fn apply(
    connection: &mut Connection,
    batch: &[ReportedStep],
) -> Result<Applied, ApplyError> {
    connection.transaction(async |connection| apply_in_txn(connection, batch).await).await
}

async fn apply_in_txn(
    connection: &mut Connection,
    batch: &[ReportedStep],
) -> Result<Applied, ApplyError> {
    let ids: Vec<Uuid> = batch.iter().map(|event| event.event_id).collect();
    let mut new: HashSet<Uuid> = inbox::insert(connection, &ids).await?.into_iter().collect();
    // `remove` keeps only the first of several events with the same id.
    let fresh: Vec<&ReportedStep> =
        batch.iter().filter(|event| new.remove(&event.event_id)).collect();

    let mut applied = Applied { duplicates: batch.len() - fresh.len(), ..Applied::default() };
    let mut unmoved = Vec::new();
    // In chronological order of the steps, because one batch can contain both steps of an order.
    for step in DeliveryStep::ALL {
        let events: Vec<&ReportedStep> =
            fresh.iter().copied().filter(|event| event.step == step).collect();
        if events.is_empty() {
            continue;
        }
        let moved = advance(connection, step, &events).await?;
        applied.advanced += moved.len();
        unmoved.extend(events.into_iter().filter(|event| !moved.contains(&event.event_id)));
    }
    refuse_unless_stale(connection, &unmoved).await?;
    applied.stale = unmoved.len();
    Ok(applied)
}

async fn advance(
    connection: &mut Connection,
    step: DeliveryStep,
    events: &[&ReportedStep],
) -> Result<HashSet<Uuid>, StoreError> {
    let statement = Advance {
        target: step.target().as_str(),
        order_ids: &events.iter().map(|event| event.order_id.as_uuid()).collect(),
        event_ids: &events.iter().map(|event| event.event_id).collect(),
        times: &events.iter().map(|event| event.at).collect(),
        origin: step.origin().as_str(),
        sequence: &step.target().sequence(),
        history: step.target().as_str(),
    };
    Ok(statement.load::<Uuid>(connection).await?.into_iter().collect())
}

/// Returns an error unless each of these events reports a step that its order has already reached.
async fn refuse_unless_stale(
    connection: &mut Connection,
    unmoved: &[&ReportedStep],
) -> Result<(), ApplyError> {
    if unmoved.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = unmoved.iter().map(|event| event.order_id.as_uuid()).collect();
    let rows: Vec<(Uuid, String)> = orders::table
        .filter(orders::id.eq_any(ids))
        .select((orders::id, orders::status))
        .load(connection)
        .await?;
    let statuses: HashMap<Uuid, String> = rows.into_iter().collect();
    for event in unmoved {
        let status: OrderStatus = statuses
            .get(&event.order_id.as_uuid())
            .ok_or(ApplyError::UnknownOrder(event.order_id))?
            .parse()
            .map_err(StoreError::corrupt("status"))?;
        if status.progress(event.step) != Progress::Stale {
            return Err(ApplyError::Gap { order: event.order_id, status, step: event.step });
        }
    }
    Ok(())
}
