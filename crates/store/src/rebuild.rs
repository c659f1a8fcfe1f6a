//! Rebuilds the events of orders from the tables, for topics that have lost them.
//!
//! Id, value and time are the original ones. The correlation id is available only if the order has
//! a shipment. The headers contain no trace, because the trace of the request has ended.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use contracts::delivery_events::DeliveryEvent;
use contracts::message::{EventMessage, Origin};
use contracts::order_events::OrderCreated;
use contracts::topics::Names;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{DeliveryStep, OrderId, OrderStatus};
use uuid::Uuid;

use crate::orders::{self, Order};
use crate::statement::statement;
use crate::{Database, StoreError};

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

/// The rows of some orders.
struct Rows {
    orders: HashMap<OrderId, Order>,
    /// When an order reached a status, as stored by status-consumer, otherwise by delivery-service.
    reached: BTreeMap<(OrderId, OrderStatus), DateTime<Utc>>,
    /// The orders that have a shipment, with their correlation ids.
    shipments: HashMap<OrderId, Option<String>>,
}

/// The event of each of these statuses. An event is omitted if its row does not exist.
/// `order.created` is also omitted if the order has left `Pending Shipment` but has no shipment:
/// delivery-service would ship it again.
pub async fn events(
    sales: &Database,
    delivery: &Database,
    wanted: &[(OrderId, OrderStatus)],
    topics: &Names,
) -> Result<Vec<EventMessage>, StoreError> {
    let rows = Rows::read(sales, delivery, wanted).await?;
    let events = wanted.iter().filter_map(|(order, status)| rows.event(*order, *status, topics));
    Ok(events.collect())
}

impl Rows {
    async fn read(
        sales: &Database,
        delivery: &Database,
        wanted: &[(OrderId, OrderStatus)],
    ) -> Result<Self, StoreError> {
        let ids = &wanted.iter().map(|(order, _)| order.as_uuid()).collect();
        let created = wanted.iter().filter(|(_, status)| *status == OrderStatus::PendingShipment);
        let created: Vec<OrderId> = created.map(|(order, _)| *order).collect();
        let shipments: Vec<ShipmentRow> =
            Shipments { ids }.load(&mut *delivery.connection().await?).await?;
        let mut sales = sales.connection().await?;
        let steps: Vec<(Uuid, String, DateTime<Utc>)> = Steps { ids }.load(&mut *sales).await?;
        let found = orders::find_many(&mut sales, &created).await?;
        let mut rows = Self {
            orders: found.into_iter().map(|order| (order.id, order)).collect(),
            reached: BTreeMap::new(),
            shipments: HashMap::new(),
        };
        for (order, shipped_at, delivered_at, correlation_id) in shipments {
            let order = OrderId::from(order);
            let times =
                [(OrderStatus::Shipped, shipped_at), (OrderStatus::Delivered, delivered_at)];
            let reached = times.into_iter().filter_map(|(status, at)| Some(((order, status), at?)));
            rows.reached.extend(reached);
            rows.shipments.insert(order, correlation_id);
        }
        for (order, status, at) in steps {
            let status = status.parse().map_err(StoreError::corrupt("status"))?;
            rows.reached.insert((order.into(), status), at);
        }
        Ok(rows)
    }

    fn event(&self, id: OrderId, status: OrderStatus, topics: &Names) -> Option<EventMessage> {
        let origin = |source, topic| Origin {
            source,
            topic,
            correlation_id: self.shipments.get(&id).cloned().flatten(),
            trace: None,
        };
        let Some(step) = DeliveryStep::ALL.into_iter().find(|step| step.target() == status) else {
            let Order { customer_id, lines, total, status, created_at, .. } =
                self.orders.get(&id)?;
            if !self.shipments.contains_key(&id) && *status != OrderStatus::PendingShipment {
                return None;
            }
            let created = OrderCreated::new(id, customer_id.clone(), lines, *total, *created_at);
            return Some(created.message(origin("/sales-api", &topics.order_events)));
        };
        let at = *self.reached.get(&(id, status))?;
        let event = DeliveryEvent { order_id: id, step, at };
        Some(event.message(origin("/delivery-service", &topics.delivery_events)))
    }
}
