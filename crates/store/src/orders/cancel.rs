//! Requests to cancel an order: stored with their event, and the refusal of one.

use chrono::{DateTime, Utc};
use contracts::message::EventMessage;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{CancellationReason, OrderId, OrderStatus, Owner};
use uuid::Uuid;

use crate::outbox::InsertEvents;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A request to cancel an order.
#[derive(Clone, Debug)]
pub struct NewCancellation {
    /// The order's id.
    pub order_id: OrderId,
    /// The subject of the token.
    pub requested_by: Owner,
    /// The client's reason.
    pub reason: Option<CancellationReason>,
    /// The time of the request, with millisecond precision.
    pub requested_at: DateTime<Utc>,
    /// The event to publish.
    pub event: EventMessage,
}

statement! {
    /// Stores the request with its event if the order can still be cancelled and has no request.
    struct Request {
        order: Uuid, owner: Option<String>, status: str, by: str, reason: Option<String>, at: DateTime<Utc>,
        events: InsertEvents<'a>,
    } -> SqlUuid;
    "WITH requested AS (
        INSERT INTO sales.order_cancellations (order_id, requested_by, reason, requested_at)
        SELECT id, " {Text = by} ", " {Nullable<Text> = reason} ", " {Timestamptz = at} " FROM sales.orders
        WHERE id = " {SqlUuid = order} " AND owner = COALESCE(" {Nullable<Text> = owner} ", owner)
          AND status = " {Text = status} "
        ON CONFLICT (order_id) DO NOTHING
        RETURNING order_id
     ), events AS (" {events} "
        JOIN requested ON requested.order_id = e.aggregate_id
     )
     SELECT order_id FROM requested"
}

/// Stores a request and its event, if the order is pending and has no request yet. Returns whether
/// it did. With an `owner`, only an order of this owner has one.
pub async fn request_cancellation(
    connection: &mut Connection,
    cancellation: &NewCancellation,
    owner: Option<&Owner>,
) -> Result<bool, StoreError> {
    let NewCancellation { order_id, requested_by, reason, requested_at, event } = cancellation;
    let statement = Request {
        order: &order_id.as_uuid(),
        owner: &owner.map(Owner::to_string),
        status: OrderStatus::PendingShipment.as_str(),
        by: requested_by.as_str(),
        reason: &reason.as_ref().map(CancellationReason::to_string),
        at: requested_at,
        events: &InsertEvents::of([event]),
    };
    let stored: Vec<Uuid> = statement.load(connection).await?;
    Ok(!stored.is_empty())
}

/// The refusal of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedRefusal {
    /// The order's id.
    pub order_id: OrderId,
    /// Why, for programs.
    pub reason: String,
    /// The time of the decision.
    pub at: DateTime<Utc>,
}

statement! {
    struct Refuse { orders: Vec<Uuid>, reasons: Vec<String>, times: Vec<DateTime<Utc>> } -> ();
    "UPDATE sales.order_cancellations c SET refusal = r.reason, refused_at = r.at
     FROM UNNEST(" {Array<SqlUuid> = orders} "::uuid[], " {Array<Text> = reasons} "::text[], "
         {Array<Timestamptz> = times} "::timestamptz[]) AS r (order_id, reason, at)
     WHERE c.order_id = r.order_id AND c.refused_at IS NULL"
}

statement! {
    struct Unknown { orders: Vec<Uuid> } -> SqlUuid;
    "SELECT r.order_id FROM UNNEST(" {Array<SqlUuid> = orders} "::uuid[]) AS r (order_id)
     WHERE (SELECT c.order_id FROM sales.order_cancellations c WHERE c.order_id = r.order_id) IS NULL LIMIT 1"
}

/// Stores refusals. Returns the number of new ones, or an order without a request.
pub(super) async fn refuse(
    connection: &mut Connection,
    refusals: &[ReportedRefusal],
) -> Result<Result<usize, OrderId>, StoreError> {
    let orders = &refusals.iter().map(|refusal| refusal.order_id.as_uuid()).collect();
    let statement = Refuse {
        orders,
        reasons: &refusals.iter().map(|refusal| refusal.reason.clone()).collect(),
        times: &refusals.iter().map(|refusal| refusal.at).collect(),
    };
    let stored = statement.execute(connection).await?;
    if stored < refusals.len() {
        let unknown: Vec<Uuid> = Unknown { orders }.load(connection).await?;
        if let Some(order) = unknown.as_slice().first() {
            return Ok(Err((*order).into()));
        }
    }
    Ok(Ok(stored))
}
