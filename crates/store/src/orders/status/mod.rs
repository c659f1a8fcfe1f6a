//! Applies delivery events: each event once, and each step only from the status that precedes it. The
//! refusal of a cancellation is stored with its request.
//!
//! The history row of a step records that its event was applied: its key is the order and the
//! position of the step, and it contains the event's id.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::{AsyncConnection, RunQueryDsl};
use domain::DeliveryStep::{Cancelled, Delivered, Shipped};
use domain::{DeliveryStep, OrderId, OrderStatus, Progress};
use uuid::Uuid;

use super::cancel::{self, ReportedRefusal};
use crate::changes;
use crate::statement::statement;
use crate::{Connection, StoreError};

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

/// A delivery event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A step of the delivery.
    Step(ReportedStep),
    /// The refusal of a cancellation.
    Refusal(ReportedRefusal),
}

impl Report {
    /// The order that the event is about.
    pub const fn order_id(&self) -> OrderId {
        match self {
            Self::Step(step) => step.order_id,
            Self::Refusal(refusal) => refusal.order_id,
        }
    }
}

/// Number of events in a batch, by effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Events that changed the status of their order, or refused its cancellation.
    pub advanced: usize,
    /// Events that are in the history of their order, or repeated in the batch.
    pub duplicates: usize,
    /// Other events of a step that the order had already reached.
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
    /// An order was reported as shipped and as cancelled.
    #[error("step {step:?} contradicts status {status} of order {order}")]
    Conflict {
        /// The order.
        order: OrderId,
        /// Its current status.
        status: OrderStatus,
        /// The reported step.
        step: DeliveryStep,
    },
    /// The refused cancellation was not requested.
    #[error("order {0} has no request to cancel it")]
    UnknownCancellation(OrderId),
}

impl From<diesel::result::Error> for ApplyError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

statement! {
    /// Advances each order by those of its reported steps that follow its status, and adds these to
    /// its history. Returns their events.
    ///
    /// Locks each order once, in the order of the ids. If another transaction is applying a step of
    /// an order, the statement waits for it, and then compares the new status. The conflict with
    /// the history is that of a step which such a transaction has applied before the second one.
    ///
    /// There is no join, because its plan would depend on the size of the table when it is made:
    /// the orders are looked up by key, and each `IN` is a hash table. As the whole condition, the
    /// last one would be a join too.
    struct Advance {
        orders: Vec<Uuid>, sequences: Vec<i16>, statuses: Vec<&'static str>, events: Vec<Uuid>,
        times: Vec<DateTime<Utc>>, to_ship: Vec<Uuid>, to_deliver: Vec<Uuid>, to_cancel: Vec<Uuid>,
        pending: str, shipped: str, delivered: str, cancelled: str,
    } -> SqlUuid;
    "WITH moved AS (
        UPDATE sales.orders
        SET status = CASE WHEN id IN (SELECT UNNEST(" {Array<SqlUuid> = to_deliver} "::uuid[]))
                          THEN " {Text = delivered} "
                          WHEN id IN (SELECT UNNEST(" {Array<SqlUuid> = to_cancel} "::uuid[]))
                          THEN " {Text = cancelled} " ELSE " {Text = shipped} " END
        WHERE id = ANY(" {Array<SqlUuid> = orders} ")
          AND (status = " {Text = pending} " AND (id IN (SELECT UNNEST(" {Array<SqlUuid> = to_ship} "::uuid[]))
                                                  OR id IN (SELECT UNNEST(" {Array<SqlUuid> = to_cancel} "::uuid[])))
               OR status = " {Text = shipped} " AND id IN (SELECT UNNEST(" {Array<SqlUuid> = to_deliver} "::uuid[])))
        RETURNING id
    )
    INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
    SELECT * FROM UNNEST(" {Array<SqlUuid> = orders} "::uuid[], " {Array<SmallInt> = sequences} "::smallint[], "
        {Array<Text> = statuses} "::text[], " {Array<SqlUuid> = events} "::uuid[], "
        {Array<Timestamptz> = times} "::timestamptz[]) AS e (order_id, sequence, status, event_id, occurred_at)
    WHERE (order_id IN (SELECT id FROM moved)) IS TRUE
    ON CONFLICT (order_id, sequence) DO NOTHING
    RETURNING event_id"
}

statement! {
    /// The status of each order, and the event in its history at each position.
    struct FindApplied { orders: Vec<Uuid>, sequences: Vec<i16> } -> (Nullable<Text>, Nullable<SqlUuid>);
    "SELECT (SELECT status FROM sales.orders WHERE id = e.order_id),
            (SELECT event_id FROM sales.order_status_history h WHERE h.order_id = e.order_id AND h.sequence = e.sequence)
     FROM UNNEST(" {Array<SqlUuid> = orders} "::uuid[], " {Array<SmallInt> = sequences} "::smallint[])
        WITH ORDINALITY AS e (order_id, sequence, place)
     ORDER BY e.place"
}

/// Applies a batch in one transaction: all of its events, or none on an error.
///
/// Any number of connections may apply the same events concurrently, in any order: each event is
/// applied by one of them, and a duplicate for the others.
pub async fn apply(connection: &mut Connection, batch: &[Report]) -> Result<Applied, ApplyError> {
    connection.transaction(async |connection| apply_in_txn(connection, batch).await).await
}

async fn apply_in_txn(
    connection: &mut Connection,
    batch: &[Report],
) -> Result<Applied, ApplyError> {
    let (mut steps, mut refusals) = (Vec::new(), Vec::new());
    for report in batch {
        match report {
            Report::Step(step) => steps.push(step),
            Report::Refusal(refusal) => refusals.push(refusal.clone()),
        }
    }
    let mut applied = apply_steps(connection, &steps).await?;
    if applied.advanced > 0 {
        changes::notify(connection).await?;
    }
    if !refusals.is_empty() {
        let refused = cancel::refuse(connection, &refusals).await?;
        let refused = refused.map_err(ApplyError::UnknownCancellation)?;
        applied.advanced += refused;
        applied.duplicates += refusals.len() - refused;
    }
    Ok(applied)
}

async fn apply_steps(
    connection: &mut Connection,
    steps: &[&ReportedStep],
) -> Result<Applied, ApplyError> {
    let mut seen = HashSet::with_capacity(steps.len());
    let mut open: Vec<&ReportedStep> =
        steps.iter().filter(|event| seen.insert(event.event_id)).copied().collect();
    let mut applied = Applied { duplicates: steps.len() - open.len(), ..Applied::default() };
    while !open.is_empty() {
        let advanced = advance(connection, &open).await?;
        applied.advanced += advanced.len();
        open.retain(|event| !advanced.contains(&event.event_id));
        open = count_known(connection, open, &mut applied).await?;
    }
    Ok(applied)
}

/// Applies the events that their orders wait for, and returns the ids of these events.
async fn advance(
    connection: &mut Connection,
    events: &[&ReportedStep],
) -> Result<HashSet<Uuid>, StoreError> {
    // The first event of each step of an order. If an order is reported as shipped and as cancelled,
    // the first of these events is applied.
    let mut steps = BTreeMap::<(OrderId, DeliveryStep), &ReportedStep>::new();
    for event in events {
        let cancels = event.step == Cancelled;
        let mut of_order = steps.range((event.order_id, Shipped)..=(event.order_id, Cancelled));
        if of_order.all(|((_, step), _)| (*step == Cancelled) == cancels) {
            steps.entry((event.order_id, event.step)).or_insert(event);
        }
    }
    let orders_to = |step: DeliveryStep| {
        let reported = steps.keys().filter(|(_, reported)| *reported == step);
        reported.map(|(order, _)| order.as_uuid()).collect()
    };
    let statement = Advance {
        orders: &steps.values().map(|event| event.order_id.as_uuid()).collect(),
        sequences: &steps.values().map(|event| event.step.target().sequence()).collect(),
        statuses: &steps.values().map(|event| event.step.target().as_str()).collect(),
        events: &steps.values().map(|event| event.event_id).collect(),
        times: &steps.values().map(|event| event.at).collect(),
        to_ship: &orders_to(Shipped),
        to_deliver: &orders_to(Delivered),
        to_cancel: &orders_to(Cancelled),
        pending: OrderStatus::PendingShipment.as_str(),
        shipped: OrderStatus::Shipped.as_str(),
        delivered: OrderStatus::Delivered.as_str(),
        cancelled: OrderStatus::Cancelled.as_str(),
    };
    Ok(statement.load::<Uuid>(connection).await?.into_iter().collect())
}

/// Counts the duplicates and the stale ones of events that advanced no order. Returns those that
/// their orders wait for now, because another transaction has committed the step before.
async fn count_known<'a>(
    connection: &mut Connection,
    events: Vec<&'a ReportedStep>,
    applied: &mut Applied,
) -> Result<Vec<&'a ReportedStep>, ApplyError> {
    if events.is_empty() {
        return Ok(events);
    }
    let find = FindApplied {
        orders: &events.iter().map(|event| event.order_id.as_uuid()).collect(),
        sequences: &events.iter().map(|event| event.step.target().sequence()).collect(),
    };
    let known: Vec<(Option<String>, Option<Uuid>)> = find.load(connection).await?;
    let mut open = Vec::new();
    for (event, (status, event_id)) in events.into_iter().zip(known) {
        let (order, step) = (event.order_id, event.step);
        let status = status.ok_or(ApplyError::UnknownOrder(order))?;
        let status: OrderStatus = status.parse().map_err(StoreError::corrupt("status"))?;
        match status.progress(step) {
            _ if event_id == Some(event.event_id) => applied.duplicates += 1,
            Progress::Stale => applied.stale += 1,
            Progress::Advance(_) => open.push(event),
            Progress::Gap => return Err(ApplyError::Gap { order, status, step }),
            Progress::Conflict => return Err(ApplyError::Conflict { order, status, step }),
        }
    }
    Ok(open)
}
