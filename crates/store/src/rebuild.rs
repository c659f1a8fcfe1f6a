//! Events of orders, made again from the rows that they tell of: for topics that have lost them.
//!
//! Id, value and time are what they were. Of the headers the correlation id is kept where delivery-service has it; the
//! trace of the request ended long ago.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{DeliveryStep, OrderId, OrderStatus};
use uuid::Uuid;

use crate::orders::{self, Order};
use crate::outbox::{Origin, OutboxEvent};
use crate::statement::statement;
use crate::{Database, StoreError};

/// The topics of the events.
#[derive(Clone, Copy, Debug)]
pub struct Topics<'a> {
    /// That of `order.created`.
    pub order_events: &'a str,
    /// That of `order.shipped` and `order.delivered`.
    pub delivery_events: &'a str,
}

statement! {
    struct Steps { ids: Vec<Uuid> } -> (SqlUuid, Text, Timestamptz);
    "SELECT order_id, status, occurred_at FROM sales.order_status_history
     WHERE order_id = ANY(" {Array<SqlUuid> = ids} ")"
}

statement! {
    struct Shipments { ids: Vec<Uuid> }
        -> (SqlUuid, Nullable<Timestamptz>, Nullable<Timestamptz>, Nullable<Text>);
    "SELECT order_id, shipped_at, delivered_at, correlation_id FROM delivery.shipments
     WHERE order_id = ANY(" {Array<SqlUuid> = ids} ")"
}

type ShipmentRow = (Uuid, Option<DateTime<Utc>>, Option<DateTime<Utc>>, Option<String>);

/// What the rows of some orders tell.
struct Rows {
    orders: HashMap<OrderId, Order>,
    /// When an order reached a status: as status-consumer stored it, otherwise as delivery-service did.
    reached: BTreeMap<(OrderId, OrderStatus), DateTime<Utc>>,
    correlation_ids: HashMap<OrderId, String>,
}

/// The event that leads to each of these statuses of orders. One that nothing tells of is left out.
pub async fn events(
    sales: &Database,
    delivery: &Database,
    wanted: &[(OrderId, OrderStatus)],
    topics: Topics<'_>,
) -> Result<Vec<OutboxEvent>, StoreError> {
    let ids: Vec<OrderId> = wanted.iter().map(|(order, _)| *order).collect();
    let rows = Rows::read(sales, delivery, &ids).await?;
    let events = wanted.iter().filter_map(|(order, status)| rows.event(*order, *status, topics));
    events.collect::<Result<_, _>>().map_err(StoreError::corrupt("event"))
}

impl Rows {
    async fn read(
        sales: &Database,
        delivery: &Database,
        orders: &[OrderId],
    ) -> Result<Self, StoreError> {
        let ids = &orders.iter().map(|order| order.as_uuid()).collect();
        let shipments: Vec<ShipmentRow> =
            Shipments { ids }.load(&mut *delivery.connection().await?).await?;
        let mut sales = sales.connection().await?;
        let steps: Vec<(Uuid, String, DateTime<Utc>)> = Steps { ids }.load(&mut *sales).await?;
        let found = orders::find_many(&mut sales, orders).await?;
        let mut rows = Self {
            orders: found.into_iter().map(|order| (order.id, order)).collect(),
            reached: BTreeMap::new(),
            correlation_ids: HashMap::new(),
        };
        for (order, shipped_at, delivered_at, correlation_id) in shipments {
            let order = OrderId::from(order);
            let times =
                [(OrderStatus::Shipped, shipped_at), (OrderStatus::Delivered, delivered_at)];
            let reached = times.into_iter().filter_map(|(status, at)| Some(((order, status), at?)));
            rows.reached.extend(reached);
            rows.correlation_ids.extend(correlation_id.map(|id| (order, id)));
        }
        for (order, status, at) in steps {
            let status = status.parse().map_err(StoreError::corrupt("status"))?;
            rows.reached.insert((order.into(), status), at);
        }
        Ok(rows)
    }

    fn event(
        &self,
        id: OrderId,
        status: OrderStatus,
        topics: Topics<'_>,
    ) -> Option<Result<OutboxEvent, serde_json::Error>> {
        let origin = |source, topic| Origin {
            source,
            topic,
            correlation_id: self.correlation_ids.get(&id).cloned(),
            trace: None,
        };
        let Some(step) = DeliveryStep::ALL.into_iter().find(|step| step.target() == status) else {
            let Order { customer_id, lines, total, created_at, .. } = self.orders.get(&id)?;
            let created = orders::created(id, customer_id.clone(), lines, *total, *created_at);
            return Some(OutboxEvent::of_order(
                &created,
                origin("/sales-api", topics.order_events),
            ));
        };
        let at = *self.reached.get(&(id, status))?;
        let origin = origin("/delivery-service", topics.delivery_events);
        Some(OutboxEvent::of_step(id, step, at, origin))
    }
}
