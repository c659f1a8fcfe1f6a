//! Applying what delivery reports: each event once, each step only from the status it starts from.

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

/// A delivery event that is to be applied to its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The event.
    pub event_id: Uuid,
    /// The order.
    pub order_id: OrderId,
    /// What happened.
    pub step: DeliveryStep,
    /// When it happened.
    pub at: DateTime<Utc>,
}

/// How many events did what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Moved their order.
    pub advanced: usize,
    /// Had been seen before.
    pub duplicates: usize,
    /// Were new, but told of a step that the order had already taken.
    pub stale: usize,
}

/// Why nothing of a batch was applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event about an order that does not exist.
    #[error("order {0} is unknown")]
    UnknownOrder(OrderId),
    /// An event that came before the one it follows.
    #[error("order {order} is {status}, which {step:?} does not follow")]
    Gap {
        /// The order.
        order: OrderId,
        /// Where it is.
        status: OrderStatus,
        /// What was reported.
        step: DeliveryStep,
    },
}

impl From<diesel::result::Error> for ApplyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

statement! {
    /// Moves the orders that are where the step starts, and writes history for just these.
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

/// Applies a batch in one transaction: all of its events, or, on an error, none.
///
/// The inbox row and the transition are committed together, so an event is never remembered without its effect.
pub async fn apply(
    connection: &mut Connection,
    batch: &[Application],
) -> Result<Applied, ApplyError> {
    connection.transaction(async |connection| apply_in_txn(connection, batch).await).await
}

async fn apply_in_txn(
    connection: &mut Connection,
    batch: &[Application],
) -> Result<Applied, ApplyError> {
    let ids: Vec<Uuid> = batch.iter().map(|event| event.event_id).collect();
    let mut new: HashSet<Uuid> = inbox::insert(connection, &ids).await?.into_iter().collect();
    // `remove` lets an id that stands twice in the batch through once.
    let fresh: Vec<&Application> =
        batch.iter().filter(|event| new.remove(&event.event_id)).collect();

    let mut applied = Applied { duplicates: batch.len() - fresh.len(), ..Applied::default() };
    let mut unmoved = Vec::new();
    // Step by step in the order of an order's life, so that one batch can carry both of them.
    for step in DeliveryStep::ALL {
        let events: Vec<&Application> =
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
    events: &[&Application],
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

/// An event that moved nothing is harmless if its order has been there already, and an error otherwise.
async fn refuse_unless_stale(
    connection: &mut Connection,
    unmoved: &[&Application],
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
