//! Requests to cancel an order, and the decisions about them.
//!
//! The holder of the shard decides, between two claims. It accepts a request only if the order's
//! step to Shipped has not been due at any claim: otherwise its event may be in the topic, although
//! it is not marked as done. So no order is both cancelled and shipped.

use std::time::Duration;

use chrono::{DateTime, Utc};
use contracts::cloud_events::TraceContext;
use diesel::sql_types::{
    Array, BigInt, Double, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use service_kit::convert::millis;
use uuid::Uuid;

use crate::shards::HeldShard;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A request to cancel an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancellationRequest {
    /// The order's id.
    pub order_id: OrderId,
    /// The time of the request.
    pub requested_at: DateTime<Utc>,
    /// Time until the order is shipped, if its shipment does not exist yet and the request is not
    /// decided until then.
    pub delay: Duration,
    /// The correlation id of the request.
    pub correlation_id: Option<String>,
    /// The trace of the request.
    pub trace: Option<TraceContext>,
}

statement! {
    /// There is an order, so there is a shipment: the request may arrive before `order.created`, or
    /// that event may be a dead letter. A batch may contain a request twice, because the relay may
    /// publish an event again. Locks the shipments in the order of their ids, as `mark_done` does.
    struct Request {
        orders: Vec<Uuid>, times: Vec<DateTime<Utc>>, delays: Vec<i64>, correlations: Vec<Option<String>>,
        parents: Vec<Option<String>>, states: Vec<Option<String>>,
    } -> ();
    "INSERT INTO delivery.shipments AS s
         (order_id, next_step_at, correlation_id, traceparent, tracestate, cancellation, cancellation_requested_at,
          cancellation_correlation_id, cancellation_traceparent, cancellation_tracestate)
     SELECT DISTINCT ON (r.order_id) r.order_id, clock_timestamp() + r.delay_ms * interval '1 millisecond',
            r.correlation_id, r.traceparent, r.tracestate, 'requested', r.requested_at, r.correlation_id,
            r.traceparent, r.tracestate
     FROM UNNEST(" {Array<SqlUuid> = orders} ", " {Array<Timestamptz> = times} ", " {Array<BigInt> = delays} ", "
         {Array<Nullable<Text>> = correlations} ", " {Array<Nullable<Text>> = parents} ", "
         {Array<Nullable<Text>> = states} ")
         AS r (order_id, requested_at, delay_ms, correlation_id, traceparent, tracestate)
     ORDER BY r.order_id
     ON CONFLICT (order_id) DO UPDATE
     SET cancellation = excluded.cancellation, cancellation_requested_at = excluded.cancellation_requested_at,
         cancellation_correlation_id = excluded.cancellation_correlation_id,
         cancellation_traceparent = excluded.cancellation_traceparent,
         cancellation_tracestate = excluded.cancellation_tracestate
     WHERE s.cancellation IS NULL"
}

/// Stores the first request for each order; the dispatchers decide about them. Returns the number of
/// new requests.
pub(super) async fn request_cancellations(
    connection: &mut Connection,
    requests: &[CancellationRequest],
) -> Result<usize, StoreError> {
    let traces = || requests.iter().map(|request| request.trace.as_ref());
    let statement = Request {
        orders: &requests.iter().map(|request| request.order_id.as_uuid()).collect(),
        times: &requests.iter().map(|request| request.requested_at).collect(),
        delays: &requests.iter().map(|request| millis(request.delay)).collect(),
        correlations: &requests.iter().map(|request| request.correlation_id.clone()).collect(),
        parents: &traces().map(|trace| trace.map(|trace| trace.traceparent.clone())).collect(),
        states: &traces().map(|trace| trace.and_then(|trace| trace.tracestate.clone())).collect(),
    };
    Ok(statement.execute(connection).await?)
}

/// A decision about a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Whether the order is cancelled.
    pub accepted: bool,
    /// Time since the request.
    pub after: Duration,
}

statement! {
    /// A lock on the shards of the requests keeps another dispatcher from taking them over before
    /// the decision is visible to it.
    ///
    /// A step that Kafka has refused was not published, unless an earlier attempt was, whose
    /// acknowledgement was lost. `claimed_until` and `latest_due` matter only after the clock was set
    /// back: a step may have been due then that is not due now.
    struct Decide { shards: Vec<i16>, tokens: Vec<i64>, in_flight: [Uuid], latest_due: DateTime<Utc> } -> (Text, Double);
    "WITH wanted AS MATERIALIZED (
         SELECT s.order_id, h.shard, h.token
         FROM UNNEST(" {Array<SmallInt> = shards} "::smallint[], " {Array<BigInt> = tokens} "::bigint[]) AS h (shard, token)
         JOIN delivery.shipments s ON delivery.shard_of(s.order_id) = h.shard AND s.cancellation = 'requested'
         WHERE s.order_id NOT IN (SELECT UNNEST(" {Array<SqlUuid> = in_flight} "::uuid[]))
     ),
     held AS MATERIALIZED (
         SELECT l.shard, l.claimed_until FROM delivery.shards l
         WHERE (l.shard, l.token) IN (SELECT shard, token FROM wanted)
         ORDER BY l.shard FOR SHARE
     )
     UPDATE delivery.shipments s
     SET cancellation = CASE s.state WHEN 'Pending Shipment' THEN 'accepted' ELSE 'refusing' END,
         resume_at = CASE s.state WHEN 'Pending Shipment' THEN NULL ELSE s.next_step_at END,
         next_step_at = clock_timestamp(), next_attempt_at = '-infinity', refused_step_at = NULL, refusal = NULL,
         lease_token = NULL, lease_until = '-infinity'
     FROM wanted w JOIN held h ON h.shard = w.shard
     WHERE s.order_id = w.order_id AND s.cancellation = 'requested'
       AND CASE WHEN s.refused_step_at IS NOT NULL THEN s.state = 'Pending Shipment'
           ELSE coalesce(s.next_step_at, 'infinity') > greatest(now(), h.claimed_until, " {Timestamptz = latest_due} ") END
     RETURNING s.cancellation, extract(epoch FROM clock_timestamp() - s.cancellation_requested_at)::float8"
}

/// Decides about the requests in these shards, except those of orders whose step is due, in flight
/// or dead-lettered: they are decided after the step. The caller claims no steps meanwhile, and the
/// latest step that it has claimed was due at `latest_due`.
pub async fn decide_cancellations(
    connection: &mut Connection,
    held: &[HeldShard],
    in_flight: &[Uuid],
    latest_due: DateTime<Utc>,
) -> Result<Vec<Decision>, StoreError> {
    let statement = Decide {
        shards: &held.iter().map(|held| held.shard).collect(),
        tokens: &held.iter().map(|held| held.token).collect(),
        in_flight,
        latest_due: &latest_due,
    };
    let rows: Vec<(String, f64)> = statement.load(connection).await?;
    let decisions = rows.into_iter().map(|(cancellation, seconds)| Decision {
        accepted: cancellation == "accepted",
        after: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
    });
    Ok(decisions.collect())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use test_kit::World;

    use super::Decide;
    use crate::statement::plan_by_index;

    #[tokio::test]
    async fn undecided_requests_are_found_by_their_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE delivery.shipments, delivery.shards").await;
        let decide = Decide {
            shards: &Vec::new(),
            tokens: &Vec::new(),
            in_flight: &[],
            latest_due: &DateTime::UNIX_EPOCH,
        };
        let plan = plan_by_index(&world, &decide).await;
        for index in ["shipments_to_cancel", "shards_pkey", "shipments_pkey"] {
            assert!(plan.contains(&format!("using {index} on")), "{plan}");
        }
        assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
    }
}
