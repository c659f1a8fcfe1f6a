//! Claims due steps, and marks or defers them afterwards. Only the dispatcher that holds the shard
//! of a shipment does.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::cloud_events::TraceContext;
use diesel::Queryable;
use diesel::sql_types::{Array, BigInt, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use service_kit::convert::millis;
use uuid::Uuid;

use super::next_event::NextEvent;
use crate::shards::{Claimed, Held, HeldShard, ShardStart, StartRows};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shipment whose next event is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueShipment {
    /// The shard of the shipment.
    pub shard: i16,
    /// The order's id.
    pub order_id: OrderId,
    /// The event that is due.
    pub event: NextEvent,
    /// When it became due. This is the time of the event, also when it is published again.
    pub due_at: DateTime<Utc>,
    /// The correlation id of the request that causes the event: it created the order, or requested
    /// to cancel it.
    pub correlation_id: Option<String>,
    /// The trace of that request.
    pub trace: Option<TraceContext>,
}

statement! {
    /// The oldest due steps of each shard that may be published now. None that is due after the
    /// lease, which a clock that jumps ahead could make due: see `cancel`.
    struct Claim { starts: StartRows, in_flight: [Uuid], limit: i64 }
        -> (SmallInt, SqlUuid, Text, Nullable<Text>, Timestamptz, Nullable<Text>, Nullable<Text>, Nullable<Text>);
    "SELECT h.shard, d.order_id, d.state, d.cancellation, d.next_step_at,
            CASE WHEN d.answers THEN d.cancellation_correlation_id ELSE d.correlation_id END,
            CASE WHEN d.answers THEN d.cancellation_traceparent ELSE d.traceparent END,
            CASE WHEN d.answers THEN d.cancellation_tracestate ELSE d.tracestate END
     FROM " {starts} " AS h (shard, start)
     JOIN delivery.shards l ON l.shard = h.shard
     CROSS JOIN LATERAL (
         SELECT *, cancellation IN ('accepted', 'refusing') AS answers
         FROM delivery.shipments s
         WHERE delivery.shard_of(s.order_id) = h.shard AND s.next_step_at <= least(now(), l.lease_until)
           AND s.next_attempt_at <= now()
           AND s.next_step_at >= timestamptz 'epoch' + h.start * interval '1 microsecond'
           AND s.order_id NOT IN (SELECT UNNEST(" {Array<SqlUuid> = in_flight} "::uuid[]))
         ORDER BY s.next_step_at LIMIT " {BigInt = limit} "
     ) d"
}

#[derive(Queryable)]
struct Row {
    shard: i16,
    order_id: Uuid,
    state: String,
    cancellation: Option<String>,
    next_step_at: DateTime<Utc>,
    correlation_id: Option<String>,
    traceparent: Option<String>,
    tracestate: Option<String>,
}

/// Reads the oldest due steps of each of these shards, at most `per_shard`. Reads a shard from its
/// start, and skips the steps of the orders `in_flight`.
pub async fn claim(
    connection: &mut Connection,
    starts: &[ShardStart],
    in_flight: &[Uuid],
    per_shard: i64,
) -> Result<Claimed<DueShipment>, StoreError> {
    let statement = Claim { starts: &StartRows::of(starts), in_flight, limit: &per_shard };
    let rows: Vec<Row> = statement.load(connection).await?;
    let most = usize::try_from(per_shard).unwrap_or(0);
    let more = rows.chunk_by(|one, next| one.shard == next.shard).any(|rows| rows.len() >= most);
    let rows = rows.into_iter().map(DueShipment::try_from).collect::<Result<_, _>>()?;
    Ok(Claimed { rows, more })
}

impl TryFrom<Row> for DueShipment {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let tracestate = row.tracestate;
        Ok(Self {
            shard: row.shard,
            order_id: row.order_id.into(),
            event: NextEvent::after(&row.state, row.cancellation.as_deref())?,
            due_at: row.next_step_at,
            correlation_id: row.correlation_id,
            trace: row.traceparent.map(|traceparent| TraceContext { traceparent, tracestate }),
        })
    }
}

/// An event that Kafka has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventDone {
    /// The shard of the shipment, and the fencing token of its lease.
    pub held: HeldShard,
    /// The order's id.
    pub order_id: OrderId,
    /// The event.
    pub event: NextEvent,
    /// The time of the event.
    pub at: DateTime<Utc>,
    /// Time until the next step; ignored after the last step.
    pub delay: Duration,
}

statement! {
    /// An event that is no longer due was published by a dispatcher of the previous version, which
    /// leases rows instead of shards. The reset of the row's lease keeps such a dispatcher from
    /// marking an earlier step afterwards. The time of the next step is read under the lock on the
    /// table, because the scans of the shards rely on it. The comparison of the times cannot use an
    /// index, because many steps may be due at the same time.
    struct MarkDone {
        orders: Vec<Uuid>, states: Vec<Option<&'static str>>, times: Vec<DateTime<Utc>>, delays: Vec<Option<i64>>,
        shards: Vec<i16>, tokens: Vec<i64>,
    } -> BigInt;
    "WITH done AS MATERIALIZED (
         SELECT d.order_id, d.state, d.at, d.delay_ms
         FROM UNNEST(" {Array<SqlUuid> = orders} ", " {Array<Nullable<Text>> = states} ", " {Array<Timestamptz> = times} ", "
             {Array<Nullable<BigInt>> = delays} ", " {Array<SmallInt> = shards} ", " {Array<BigInt> = tokens} ")
             AS d (order_id, state, at, delay_ms, shard, token)
         JOIN delivery.shards h ON h.shard = d.shard AND h.token = d.token
         ORDER BY d.order_id
     ),
     marked AS (
         UPDATE delivery.shipments s
         SET state = coalesce(d.state, s.state),
             next_step_at = CASE WHEN d.state IS NOT NULL THEN clock_timestamp() + d.delay_ms * interval '1 millisecond'
                                 WHEN s.resume_at IS NOT NULL THEN greatest(s.resume_at, clock_timestamp()) END,
             shipped_at = CASE d.state WHEN 'Shipped' THEN d.at ELSE s.shipped_at END,
             delivered_at = CASE d.state WHEN 'Delivered' THEN d.at ELSE s.delivered_at END,
             cancelled_at = CASE d.state WHEN 'Cancelled' THEN d.at END,
             cancellation = CASE WHEN d.state IS NULL THEN 'refused' ELSE s.cancellation END,
             cancellation_refused_at = CASE WHEN d.state IS NULL THEN d.at ELSE s.cancellation_refused_at END,
             resume_at = NULL,
             next_attempt_at = '-infinity', lease_token = NULL, lease_until = '-infinity'
         FROM done d
         WHERE s.order_id = d.order_id AND s.next_step_at IS NOT DISTINCT FROM d.at
     )
     SELECT count(*) FROM done"
}

/// Records events as published, and starts the timers of the next steps. Returns the number of events
/// whose lease was still valid.
pub async fn mark_done(
    connection: &mut Connection,
    done: &[EventDone],
) -> Result<usize, StoreError> {
    let next_delay = |done: &EventDone| {
        let ships = done.event.target() == Some(OrderStatus::Shipped);
        ships.then(|| millis(done.delay))
    };
    let statement = MarkDone {
        orders: &done.iter().map(|done| done.order_id.as_uuid()).collect(),
        states: &done.iter().map(|done| done.event.target().map(OrderStatus::as_str)).collect(),
        times: &done.iter().map(|done| done.at).collect(),
        delays: &done.iter().map(next_delay).collect(),
        shards: &done.iter().map(|done| done.held.shard).collect(),
        tokens: &done.iter().map(|done| done.held.token).collect(),
    };
    let held: i64 = statement.get_result(connection).await?;
    Ok(usize::try_from(held).unwrap_or(0))
}

statement! {
    /// The wait is as long as the step has already waited, so each wait is twice as long as the
    /// previous one.
    struct Defer { orders: Vec<Uuid>, shards: Vec<i16>, tokens: Vec<i64> } -> ();
    "UPDATE delivery.shipments s
     SET next_attempt_at = now() + least(greatest(now() - s.next_step_at, interval '1 second'), interval '10 seconds')
     FROM UNNEST(" {Array<SqlUuid> = orders} ", " {Array<SmallInt> = shards} ", " {Array<BigInt> = tokens} ")
         AS d (order_id, shard, token)
     JOIN delivery.shards h ON h.shard = d.shard AND h.token = d.token
     WHERE s.order_id = d.order_id AND s.next_step_at IS NOT NULL"
}

/// Defers steps for 1 to 10 seconds depending on how long they have been due. Steps of other orders
/// are published meanwhile. Returns the number of steps whose lease was still valid.
pub async fn defer(
    connection: &mut Connection,
    steps: &[Held<OrderId>],
) -> Result<usize, StoreError> {
    let statement = Defer {
        orders: &steps.iter().map(|(_, order)| order.as_uuid()).collect(),
        shards: &steps.iter().map(|(held, _)| held.shard).collect(),
        tokens: &steps.iter().map(|(held, _)| held.token).collect(),
    };
    Ok(statement.execute(connection).await?)
}

statement! {
    /// Deferred steps are not considered: the dispatcher polls every second while there are any.
    struct UntilNext { starts: StartRows, in_flight: [Uuid] } -> Nullable<BigInt>;
    "SELECT CEIL(1000 * EXTRACT(epoch FROM min(d.next_step_at) - now()))::bigint
     FROM " {starts} " AS h (shard, start)
     CROSS JOIN LATERAL (
         SELECT next_step_at FROM delivery.shipments s
         WHERE delivery.shard_of(s.order_id) = h.shard AND s.next_attempt_at <= now()
           AND s.next_step_at >= timestamptz 'epoch' + h.start * interval '1 microsecond'
           AND s.order_id NOT IN (SELECT UNNEST(" {Array<SqlUuid> = in_flight} "::uuid[]))
         ORDER BY s.next_step_at LIMIT 1
     ) d"
}

/// Time until the next step of these shards is due; `None` if there is none. Skips those of the
/// orders `in_flight`.
pub async fn until_next(
    connection: &mut Connection,
    starts: &[ShardStart],
    in_flight: &[Uuid],
) -> Result<Option<Duration>, StoreError> {
    let until_next = UntilNext { starts: &StartRows::of(starts), in_flight };
    let wait_ms: Option<i64> = until_next.get_result(connection).await?;
    Ok(wait_ms.map(|wait_ms| Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use test_kit::World;

    use super::{Claim, MarkDone, StartRows, UntilNext};
    use crate::statement::plan_by_index;

    #[tokio::test]
    async fn due_shipments_use_the_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE delivery.shipments").await;
        let (starts, in_flight) = (&StartRows::default(), &[]);
        for plan in [
            plan_by_index(&world, &Claim { starts, in_flight, limit: &32 }).await,
            plan_by_index(&world, &UntilNext { starts, in_flight }).await,
        ] {
            assert!(plan.contains("Index Scan using shipments_by_shard on"), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
            assert!(!plan.contains("Sort"), "{plan}");
        }
    }

    #[tokio::test]
    async fn done_steps_are_found_by_their_key_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE delivery.shipments, delivery.shards").await;
        let mark = MarkDone {
            orders: &Vec::new(),
            states: &Vec::new(),
            times: &Vec::new(),
            delays: &Vec::new(),
            shards: &Vec::new(),
            tokens: &Vec::new(),
        };
        let plan = plan_by_index(&world, &mark).await;
        assert!(plan.contains("using shipments_pkey on"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
    }
}
