//! The rows that the events of some orders are rebuilt from.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use diesel::Queryable;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{OrderId, OrderStatus};
use uuid::Uuid;

use super::event_kind::EventKind;
use crate::orders::{self, Order};
use crate::statement::statement;
use crate::{Database, StoreError};

statement! {
    struct Steps { ids: Vec<Uuid> } -> (SqlUuid, Text, Timestamptz);
    "SELECT order_id, status, occurred_at FROM sales.order_status_history
     WHERE order_id = ANY(" {Array<SqlUuid> = ids} ")"
}

statement! {
    struct Requests { ids: Vec<Uuid> }
        -> (SqlUuid, Nullable<Text>, Timestamptz, Nullable<Text>, Nullable<Timestamptz>);
    "SELECT order_id, reason, requested_at, refusal, refused_at FROM sales.order_cancellations
     WHERE order_id = ANY(" {Array<SqlUuid> = ids} ")"
}

#[derive(Queryable)]
struct RequestRow {
    order_id: Uuid,
    reason: Option<String>,
    requested_at: DateTime<Utc>,
    refusal: Option<String>,
    refused_at: Option<DateTime<Utc>>,
}

type Time = Nullable<Timestamptz>;

statement! {
    struct Shipments { ids: Vec<Uuid> }
        -> (SqlUuid, Text, Time, Time, Time, Time, Nullable<Text>, Nullable<Text>, Nullable<Text>);
    "SELECT order_id, state, shipped_at, delivered_at, cancelled_at, cancellation_refused_at, cancellation, correlation_id,
            cancellation_correlation_id
     FROM delivery.shipments
     WHERE order_id = ANY(" {Array<SqlUuid> = ids} ")"
}

#[derive(Queryable)]
struct ShipmentRow {
    order_id: Uuid,
    state: String,
    shipped_at: Option<DateTime<Utc>>,
    delivered_at: Option<DateTime<Utc>>,
    cancelled_at: Option<DateTime<Utc>>,
    cancellation_refused_at: Option<DateTime<Utc>>,
    cancellation: Option<String>,
    correlation_id: Option<String>,
    cancellation_correlation_id: Option<String>,
}

/// The rows of some orders.
#[derive(Default)]
pub(super) struct Rows {
    /// The orders whose events delivery-service reads.
    pub(super) orders: HashMap<OrderId, Order>,
    /// When an order reached a status, as stored by status-consumer, otherwise by delivery-service.
    pub(super) reached: HashMap<(OrderId, OrderStatus), DateTime<Utc>>,
    /// The requests to cancel an order.
    pub(super) requests: HashMap<OrderId, Request>,
    pub(super) shipments: HashMap<OrderId, Shipment>,
}

/// A request to cancel an order.
pub(super) struct Request {
    pub(super) reason: Option<String>,
    pub(super) requested_at: DateTime<Utc>,
    /// Why and when it was refused, as stored by status-consumer.
    pub(super) refusal: Option<(String, DateTime<Utc>)>,
}

/// The shipment of an order.
pub(super) struct Shipment {
    pub(super) correlation_id: Option<String>,
    /// The correlation id of the request to cancel the order.
    pub(super) request_correlation_id: Option<String>,
    /// Whether delivery-service has stored the request to cancel the order.
    pub(super) knows_request: bool,
    pub(super) state: OrderStatus,
    /// When delivery-service refused the request.
    pub(super) refused_at: Option<DateTime<Utc>>,
}

impl Rows {
    pub(super) async fn read(
        sales: &Database,
        delivery: &Database,
        wanted: &[(OrderId, EventKind)],
    ) -> Result<Self, StoreError> {
        let ids = &wanted.iter().map(|(order, _)| order.as_uuid()).collect();
        let shipments: Vec<ShipmentRow> =
            Shipments { ids }.load(&mut *delivery.connection().await?).await?;
        let mut sales = sales.connection().await?;
        let steps: Vec<(Uuid, String, DateTime<Utc>)> = Steps { ids }.load(&mut *sales).await?;
        let requests: Vec<RequestRow> = Requests { ids }.load(&mut *sales).await?;
        let of_intake =
            |kind| matches!(kind, EventKind::Created | EventKind::CancellationRequested);
        let taken_in = wanted.iter().filter(|(_, kind)| of_intake(*kind));
        let taken_in: Vec<OrderId> = taken_in.map(|(order, _)| *order).collect();
        let found = orders::find_many(&mut sales, &taken_in).await?;

        let mut rows = Self::default();
        rows.orders.extend(found.into_iter().map(|order| (order.id, order)));
        rows.requests.extend(requests.into_iter().map(RequestRow::keyed));
        for shipment in shipments {
            rows.add_shipment(shipment)?;
        }
        for (order, status, at) in steps {
            let status = status.parse().map_err(StoreError::corrupt("status"))?;
            rows.reached.insert((order.into(), status), at);
        }
        Ok(rows)
    }

    fn add_shipment(&mut self, row: ShipmentRow) -> Result<(), StoreError> {
        let order = OrderId::from(row.order_id);
        let times = [
            (OrderStatus::Shipped, row.shipped_at),
            (OrderStatus::Delivered, row.delivered_at),
            (OrderStatus::Cancelled, row.cancelled_at),
        ];
        let reached = times.into_iter().filter_map(|(status, at)| Some(((order, status), at?)));
        self.reached.extend(reached);
        let shipment = Shipment {
            correlation_id: row.correlation_id,
            request_correlation_id: row.cancellation_correlation_id,
            knows_request: row.cancellation.is_some(),
            state: row.state.parse().map_err(StoreError::corrupt("shipment state"))?,
            refused_at: row.cancellation_refused_at,
        };
        self.shipments.insert(order, shipment);
        Ok(())
    }
}

impl RequestRow {
    fn keyed(self) -> (OrderId, Request) {
        let Self { order_id, reason, requested_at, refusal, refused_at } = self;
        (order_id.into(), Request { reason, requested_at, refusal: refusal.zip(refused_at) })
    }
}
