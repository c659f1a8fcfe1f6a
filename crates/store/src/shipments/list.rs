//! Reads shipments for operators.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, Queryable};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use super::next_event::NextEvent;
use crate::shards::{ShardStart, StartRows};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// A shipment whose next step waits for its time, or for a dispatcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingShipment {
    /// The order's id.
    pub order_id: OrderId,
    /// The event of the next step.
    pub event: NextEvent,
    /// When it is due.
    pub due_at: DateTime<Utc>,
    /// When it is attempted again, if it was deferred.
    pub deferred_until: Option<DateTime<Utc>>,
    /// When the shipment was created.
    pub created_at: DateTime<Utc>,
}

statement! {
    /// The first steps of each shard, then the first of all of them.
    struct Next { starts: StartRows, limit: i64 }
        -> (SqlUuid, Text, Nullable<Text>, Timestamptz, Nullable<Timestamptz>, Timestamptz);
    "SELECT d.order_id, d.state, d.cancellation, d.next_step_at, d.deferred_until, d.created_at
     FROM " {starts} " AS h (shard, start)
     CROSS JOIN LATERAL (
         SELECT order_id, state, cancellation, next_step_at, created_at,
                CASE WHEN next_attempt_at > now() THEN next_attempt_at END AS deferred_until
         FROM delivery.shipments s
         WHERE delivery.shard_of(s.order_id) = h.shard
           AND s.next_step_at >= timestamptz 'epoch' + h.start * interval '1 microsecond'
         ORDER BY s.next_step_at LIMIT " {BigInt = limit} "
     ) d
     ORDER BY d.next_step_at, d.order_id LIMIT " {BigInt = limit} ""
}

#[derive(Queryable)]
struct NextRow {
    order_id: Uuid,
    state: String,
    cancellation: Option<String>,
    due_at: DateTime<Utc>,
    deferred_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

/// The `limit` shipments whose next steps are due first, of these shards, from their starts.
pub async fn next(
    connection: &mut Connection,
    starts: &[ShardStart],
    limit: i64,
) -> Result<Vec<WaitingShipment>, StoreError> {
    let next = Next { starts: &StartRows::of(starts), limit: &limit };
    let rows: Vec<NextRow> = next.load(connection).await?;
    let waiting = rows.into_iter().map(|row| {
        Ok(WaitingShipment {
            order_id: row.order_id.into(),
            event: NextEvent::after(&row.state, row.cancellation.as_deref())?,
            due_at: row.due_at,
            deferred_until: row.deferred_until,
            created_at: row.created_at,
        })
    });
    waiting.collect()
}

/// The shipment of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shipment {
    /// How far it is.
    pub state: OrderStatus,
    /// What is decided about a request to cancel the order.
    pub cancellation: Option<String>,
    /// When the next step is due.
    pub next_step_at: Option<DateTime<Utc>>,
    /// The step that Kafka refused, and why.
    pub refused: Option<(DateTime<Utc>, String)>,
    /// When the shipment was created.
    pub created_at: DateTime<Utc>,
    /// When the order was shipped.
    pub shipped_at: Option<DateTime<Utc>>,
    /// When it was delivered.
    pub delivered_at: Option<DateTime<Utc>>,
    /// When it was cancelled.
    pub cancelled_at: Option<DateTime<Utc>>,
    /// The correlation id of the request that created the order.
    pub correlation_id: Option<String>,
    /// The trace of that request, as in W3C Trace Context.
    pub traceparent: Option<String>,
}

statement! {
    struct Find { order: Uuid } -> (
        Text, Nullable<Text>, Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Text>, Timestamptz,
        Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Text>, Nullable<Text>
    );
    "SELECT state, cancellation, next_step_at, refused_step_at, refusal, created_at, shipped_at, delivered_at, cancelled_at,
            correlation_id, traceparent
     FROM delivery.shipments WHERE order_id = " {SqlUuid = order}
}

#[derive(Queryable)]
struct Row {
    state: String,
    cancellation: Option<String>,
    next_step_at: Option<DateTime<Utc>>,
    refused_step_at: Option<DateTime<Utc>>,
    refusal: Option<String>,
    created_at: DateTime<Utc>,
    shipped_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    correlation_id: Option<String>,
    traceparent: Option<String>,
}

/// The shipment of an order, if it has one.
pub async fn find(
    connection: &mut Connection,
    order: OrderId,
) -> Result<Option<Shipment>, StoreError> {
    let find = Find { order: &order.as_uuid() };
    let row: Option<Row> = find.get_result(connection).await.optional()?;
    row.map(|row| {
        Ok(Shipment {
            state: row.state.parse().map_err(StoreError::corrupt("shipment state"))?,
            cancellation: row.cancellation,
            next_step_at: row.next_step_at,
            refused: row.refused_step_at.zip(row.refusal),
            created_at: row.created_at,
            shipped_at: row.shipped_at,
            delivered_at: row.delivered_at,
            cancelled_at: row.cancelled_at,
            correlation_id: row.correlation_id,
            traceparent: row.traceparent,
        })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use domain::OrderId;
    use test_kit::World;
    use uuid::Uuid;

    use super::{Find, Next, find, next};
    use crate::shards::{ShardStart, StartRows};
    use crate::shipments::{NewShipment, insert};
    use crate::statement::plan_by_index;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_steps_that_are_due_first_are_listed_first() {
        let world = World::create().await;
        let database = world.store();
        let connection = &mut database.connection().await.unwrap();
        let shipment = |minutes| NewShipment {
            order_id: OrderId::generate(),
            delay: Duration::from_mins(minutes),
            correlation_id: Some("checkout-17".to_owned()),
            trace: None,
        };
        let new = [30, 10, 20].map(shipment);
        insert(connection, &new).await.unwrap();
        let listed = next(connection, &ShardStart::beginnings(), 2).await.unwrap();
        let orders: Vec<OrderId> = listed.iter().map(|it| it.order_id).collect();
        assert_eq!(orders, [new[1].order_id, new[2].order_id]);
        let found = find(connection, new[0].order_id).await.unwrap().unwrap();
        assert_eq!(found.correlation_id.as_deref(), Some("checkout-17"));
        assert_eq!(find(connection, OrderId::generate()).await.unwrap(), None);
    }

    #[tokio::test]
    async fn shipments_are_read_along_an_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE delivery.shipments").await;
        let next =
            plan_by_index(&world, &Next { starts: &StartRows::default(), limit: &100 }).await;
        assert!(next.contains("Index Scan using shipments_by_shard on"), "{next}");
        let find = plan_by_index(&world, &Find { order: &Uuid::nil() }).await;
        assert!(find.contains("Index Scan using shipments_pkey on"), "{find}");
        for plan in [next, find] {
            assert!(!plan.contains("Seq Scan") && !plan.contains("Bitmap"), "{plan}");
        }
    }
}
