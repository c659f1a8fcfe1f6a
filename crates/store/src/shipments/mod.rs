//! Shipments. The row of a shipment is both the timer and the outbox of its next step.

mod refused;
mod step;

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::cloud_events::TraceContext;
use diesel::Queryable;
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{DeliveryStep, OrderId};
use service_kit::convert::millis;
use uuid::Uuid;

pub use self::refused::{RefusedStep, count_refused, redrive, refuse, refused};
use self::step::step_after;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shipment to insert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewShipment {
    /// The order's id.
    pub order_id: OrderId,
    /// Time until the order is shipped.
    pub delay: Duration,
    /// The correlation id of the request that created the order.
    pub correlation_id: Option<String>,
    /// The trace of that request.
    pub trace: Option<TraceContext>,
}

/// A shipment whose next step is due, leased to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueShipment {
    /// The order's id.
    pub order_id: OrderId,
    /// The step that is due.
    pub step: DeliveryStep,
    /// When the step became due. This is the time of its event, also when it is published again.
    pub due_at: DateTime<Utc>,
    /// The correlation id of the request that created the order.
    pub correlation_id: Option<String>,
    /// The trace of that request.
    pub trace: Option<TraceContext>,
}

/// A step whose event Kafka has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepDone {
    /// The order's id.
    pub order_id: OrderId,
    /// The step.
    pub step: DeliveryStep,
    /// The time of the step.
    pub at: DateTime<Utc>,
    /// Time until the next step; ignored after the last step.
    pub delay: Duration,
}

statement! {
    struct Insert {
        orders: Vec<Uuid>, delays: Vec<i64>, correlations: Vec<Option<String>>,
        parents: Vec<Option<String>>, states: Vec<Option<String>>,
    } -> ();
    "INSERT INTO delivery.shipments (order_id, next_step_at, correlation_id, traceparent, tracestate)
     SELECT n.order_id, now() + n.delay_ms * interval '1 millisecond', n.correlation_id, n.traceparent, n.tracestate
     FROM UNNEST(" {Array<SqlUuid> = orders} ", " {Array<BigInt> = delays} ", "
         {Array<Nullable<Text>> = correlations} ", " {Array<Nullable<Text>> = parents} ", "
         {Array<Nullable<Text>> = states} ")
         AS n (order_id, delay_ms, correlation_id, traceparent, tracestate)
     ON CONFLICT DO NOTHING"
}

/// Inserts shipments, which starts their timers. Skips orders that already have a shipment. Returns
/// the number of inserted shipments.
pub async fn insert(connection: &mut Connection, new: &[NewShipment]) -> Result<usize, StoreError> {
    let traces = || new.iter().map(|shipment| shipment.trace.as_ref());
    let statement = Insert {
        orders: &new.iter().map(|shipment| shipment.order_id.as_uuid()).collect(),
        delays: &new.iter().map(|shipment| millis(shipment.delay)).collect(),
        correlations: &new.iter().map(|shipment| shipment.correlation_id.clone()).collect(),
        parents: &traces().map(|trace| trace.map(|trace| trace.traceparent.clone())).collect(),
        states: &traces().map(|trace| trace.and_then(|trace| trace.tracestate.clone())).collect(),
    };
    Ok(statement.execute(connection).await?)
}

/// Maximum wait of a deferred step for its next attempt, in milliseconds.
const LONGEST_DEFERRAL_MS: i64 = 10_000;

statement! {
    /// A lease that ends later than any lease could was set by another clock, and counts as
    /// expired.
    struct Lease { token: Uuid, lease_ms: i64, longest_ms: i64, limit: i64 }
        -> (SqlUuid, Text, Timestamptz, Nullable<Text>, Nullable<Text>, Nullable<Text>);
    "UPDATE delivery.shipments s
     SET lease_token = " {SqlUuid = token} ", lease_until = now() + " {BigInt = lease_ms} " * interval '1 millisecond'
     FROM (
         SELECT order_id FROM delivery.shipments
         WHERE next_step_at <= now()
           AND (lease_until < now() OR lease_until > now() + " {BigInt = longest_ms} " * interval '1 millisecond')
         ORDER BY next_step_at LIMIT " {BigInt = limit} " FOR UPDATE SKIP LOCKED
     ) due
     WHERE s.order_id = due.order_id
     RETURNING s.order_id, s.state, s.next_step_at, s.correlation_id, s.traceparent, s.tracestate"
}

#[derive(Queryable)]
struct LeasedRow {
    order_id: Uuid,
    state: String,
    next_step_at: DateTime<Utc>,
    correlation_id: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

/// Leases up to `limit` due shipments for the duration `lease`. During that time no other caller
/// gets them, and only calls with `token` can change them.
pub async fn lease_due(
    connection: &mut Connection,
    token: Uuid,
    lease: Duration,
    limit: i64,
) -> Result<Vec<DueShipment>, StoreError> {
    let lease_ms = &millis(lease);
    // Twice the longest lease: `now()` is the start of this transaction, which may be before the
    // start of the transaction that set the lease.
    let longest_ms = &(2 * lease_ms.max(&LONGEST_DEFERRAL_MS));
    let statement = Lease { token: &token, lease_ms, longest_ms, limit: &limit };
    let rows: Vec<LeasedRow> = statement.load(connection).await?;
    rows.into_iter().map(due).collect()
}

fn due(row: LeasedRow) -> Result<DueShipment, StoreError> {
    let tracestate = row.tracestate;
    Ok(DueShipment {
        order_id: row.order_id.into(),
        step: step_after(&row.state)?,
        due_at: row.next_step_at,
        correlation_id: row.correlation_id,
        trace: row.traceparent.map(|traceparent| TraceContext { traceparent, tracestate }),
    })
}

statement! {
    struct MarkDone {
        orders: Vec<Uuid>, states: Vec<String>, times: Vec<DateTime<Utc>>, delays: Vec<Option<i64>>, token: Uuid,
    } -> ();
    "UPDATE delivery.shipments s
     SET state = d.state,
         next_step_at = now() + d.delay_ms * interval '1 millisecond',
         shipped_at = CASE d.state WHEN 'Shipped' THEN d.at ELSE s.shipped_at END,
         delivered_at = CASE d.state WHEN 'Delivered' THEN d.at END,
         lease_token = NULL, lease_until = '-infinity'
     FROM UNNEST(" {Array<SqlUuid> = orders} ", " {Array<Text> = states} ", " {Array<Timestamptz> = times} ", "
         {Array<Nullable<BigInt>> = delays} ") AS d (order_id, state, at, delay_ms)
     WHERE s.order_id = d.order_id AND s.lease_token = " {SqlUuid = token} ""
}

/// Records steps as done under the lease `token` and starts the timers of the next steps. Returns
/// the number of shipments whose lease was still valid.
pub async fn mark_done(
    connection: &mut Connection,
    token: Uuid,
    done: &[StepDone],
) -> Result<usize, StoreError> {
    let next_delay =
        |done: &StepDone| (done.step != DeliveryStep::Delivered).then(|| millis(done.delay));
    let statement = MarkDone {
        orders: &done.iter().map(|done| done.order_id.as_uuid()).collect(),
        states: &done.iter().map(|done| done.step.target().to_string()).collect(),
        times: &done.iter().map(|done| done.at).collect(),
        delays: &done.iter().map(next_delay).collect(),
        token: &token,
    };
    Ok(statement.execute(connection).await?)
}

statement! {
    struct GiveBack { orders: Vec<Uuid>, token: Uuid } -> ();
    "UPDATE delivery.shipments SET lease_token = NULL, lease_until = '-infinity'
     WHERE order_id = ANY(" {Array<SqlUuid> = orders} ") AND lease_token = " {SqlUuid = token} ""
}

/// Releases the shipments that are still leased under `token`, so that they are due again at once.
pub async fn give_back(
    connection: &mut Connection,
    token: Uuid,
    orders: &[OrderId],
) -> Result<usize, StoreError> {
    let orders = orders.iter().map(|order| order.as_uuid()).collect();
    Ok(GiveBack { orders: &orders, token: &token }.execute(connection).await?)
}

statement! {
    /// A leased row is due at the end of its lease, so that a dispatcher does not poll in a busy
    /// loop while another one publishes.
    struct UntilNext { longest_ms: i64 } -> BigInt;
    "SELECT LEAST(" {BigInt = longest_ms} ", CEIL(1000 * EXTRACT(epoch FROM min(due.at) - now())))::bigint
     FROM (
         SELECT GREATEST(next_step_at, lease_until) AS at FROM delivery.shipments
         WHERE next_step_at IS NOT NULL ORDER BY next_step_at LIMIT 100
     ) due"
}

statement! {
    /// The wait is as long as the step has already waited, so each wait is twice as long as the
    /// previous one.
    struct Defer { orders: Vec<Uuid>, token: Uuid, longest_ms: i64 } -> ();
    "UPDATE delivery.shipments
     SET lease_token = NULL,
         lease_until = now() + least(greatest(now() - next_step_at, interval '1 second'),
                                     " {BigInt = longest_ms} " * interval '1 millisecond')
     WHERE order_id = ANY(" {Array<SqlUuid> = orders} ") AND lease_token = " {SqlUuid = token} ""
}

/// Defers steps that are leased under `token`, for 1 to 10 seconds depending on how long they have
/// been due. Steps of other orders are published meanwhile.
pub async fn defer(
    connection: &mut Connection,
    token: Uuid,
    orders: &[OrderId],
) -> Result<usize, StoreError> {
    let orders = orders.iter().map(|order| order.as_uuid()).collect();
    let statement = Defer { orders: &orders, token: &token, longest_ms: &LONGEST_DEFERRAL_MS };
    Ok(statement.execute(connection).await?)
}

/// Time until the next step is due, at most `longest`.
pub async fn until_next(
    connection: &mut Connection,
    longest: Duration,
) -> Result<Duration, StoreError> {
    let statement = UntilNext { longest_ms: &millis(longest) };
    let wait_ms: i64 = statement.get_result(connection).await?;
    Ok(Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0)))
}

/// Shipments whose next step is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// Their number; at most 10,000 are counted.
    pub shipments: i64,
    /// How long the oldest one has been due.
    pub oldest: Duration,
}

/// Maximum number of due shipments that are counted.
const MOST_DUE: i64 = 10_000;

statement! {
    struct Due { limit: i64 } -> (BigInt, BigInt);
    "SELECT count(*), coalesce(extract(epoch FROM now() - min(due.next_step_at)) * 1000, 0)::bigint
     FROM (
         SELECT next_step_at FROM delivery.shipments
         WHERE next_step_at <= now() ORDER BY next_step_at LIMIT " {BigInt = limit} "
     ) due"
}

/// Counts the shipments that are due now.
pub async fn overdue(connection: &mut Connection) -> Result<Overdue, StoreError> {
    let (shipments, oldest_ms): (i64, i64) =
        Due { limit: &MOST_DUE }.get_result(connection).await?;
    let oldest = Duration::from_millis(u64::try_from(oldest_ms).unwrap_or(0));
    Ok(Overdue { shipments, oldest })
}

#[cfg(test)]
mod tests {
    use test_kit::World;
    use uuid::Uuid;

    use super::{Due, Lease, UntilNext};
    use super::{Duration, NewShipment, OrderId, Overdue, insert, overdue};
    use crate::statement::plan_by_index;

    #[tokio::test(flavor = "multi_thread")]
    async fn only_due_shipments_count_as_overdue() {
        let world = World::create().await;
        let database = world.store();
        let mut connection = database.connection().await.unwrap();
        let nothing = Overdue { shipments: 0, oldest: Duration::ZERO };
        assert_eq!(overdue(&mut connection).await.unwrap(), nothing);

        let hour = Duration::from_hours(1);
        let shipment = |delay| NewShipment {
            order_id: OrderId::generate(),
            delay,
            correlation_id: None,
            trace: None,
        };
        let new = [Duration::ZERO, Duration::ZERO, hour].map(shipment);
        insert(&mut connection, &new).await.unwrap();
        world
            .database
            .execute(
                "UPDATE delivery.shipments SET next_step_at = next_step_at - interval '1 minute'",
            )
            .await;
        let Overdue { shipments, oldest } = overdue(&mut connection).await.unwrap();
        assert_eq!(shipments, 2);
        assert!((60..120).contains(&oldest.as_secs()), "{oldest:?}");
    }

    #[tokio::test]
    async fn due_shipments_use_the_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE delivery.shipments").await;
        let lease =
            Lease { token: &Uuid::nil(), lease_ms: &1000, longest_ms: &30_000, limit: &1000 };
        for plan in [
            plan_by_index(&world, &lease).await,
            plan_by_index(&world, &UntilNext { longest_ms: &1000 }).await,
            plan_by_index(&world, &Due { limit: &1000 }).await,
        ] {
            assert!(plan.contains("using shipments_due on"), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
        }
    }
}
