//! Rebuilds the events of orders from the tables, for topics that have lost them.
//!
//! Id, value and time are the original ones. The correlation id is available only if the order has
//! a shipment. The headers contain no trace, because the trace of the request has ended.

mod event_kind;
mod rows;

use contracts::delivery_events::{CancellationRefused, StepReported};
use contracts::message::{EventMessage, Origin};
use contracts::order_events::{CancellationRequested, OrderCreated};
use contracts::topics::Names;
use domain::{DeliveryStep, OrderId, OrderStatus};

pub use self::event_kind::EventKind;
use self::rows::Rows;
use crate::orders::Order;
use crate::{Database, StoreError};

/// Each of these events. An event is omitted if its row does not exist. The events that
/// delivery-service reads are also omitted if it would ship an order again that has left
/// `Pending Shipment`, or cancel one that was shipped.
pub async fn events(
    sales: &Database,
    delivery: &Database,
    wanted: &[(OrderId, EventKind)],
    topics: &Names,
) -> Result<Vec<EventMessage>, StoreError> {
    let rows = Rows::read(sales, delivery, wanted).await?;
    let events = wanted.iter().filter_map(|(order, kind)| rows.event(*order, *kind, topics));
    Ok(events.collect())
}

impl Rows {
    fn event(&self, id: OrderId, kind: EventKind, topics: &Names) -> Option<EventMessage> {
        match kind {
            EventKind::Created => self.created(id, &topics.order_events),
            EventKind::CancellationRequested => self.requested(id, &topics.order_events),
            EventKind::Shipped => self.step(id, DeliveryStep::Shipped, &topics.delivery_events),
            EventKind::Delivered => self.step(id, DeliveryStep::Delivered, &topics.delivery_events),
            EventKind::Cancelled => self.step(id, DeliveryStep::Cancelled, &topics.delivery_events),
            EventKind::CancellationRefused => self.refused(id, &topics.delivery_events),
        }
    }

    fn created(&self, id: OrderId, topic: &str) -> Option<EventMessage> {
        let order = self.orders.get(&id)?;
        if !self.shipments.contains_key(&id) && order.status != OrderStatus::PendingShipment {
            return None;
        }
        let Order { customer_id, lines, total, created_at, .. } = order;
        let created = OrderCreated::new(id, customer_id.clone(), lines, *total, *created_at);
        let (reference, metadata) = (order.external_reference.clone(), order.metadata.clone());
        let created = created.with_options(reference, order.currency, metadata);
        Some(created.message(self.origin(id, "/sales-api", topic)))
    }

    fn requested(&self, id: OrderId, topic: &str) -> Option<EventMessage> {
        let (status, request) = (self.orders.get(&id)?.status, self.requests.get(&id)?);
        let decides = match self.shipments.get(&id) {
            None => status == OrderStatus::PendingShipment,
            // Otherwise delivery-service has the request.
            Some(shipment) if !shipment.knows_request => {
                !status.includes(OrderStatus::Shipped)
                    || shipment.state.includes(OrderStatus::Shipped)
            }
            Some(_) => true,
        };
        let (reason, requested_at) = (request.reason.clone(), request.requested_at);
        let event = CancellationRequested { order_id: id, reason, requested_at };
        decides.then(|| event.message(self.origin_of_request(id, "/sales-api", topic)))
    }

    fn step(&self, id: OrderId, step: DeliveryStep, topic: &str) -> Option<EventMessage> {
        let at = *self.reached.get(&(id, step.target()))?;
        let origin = match step {
            DeliveryStep::Cancelled => self.origin_of_request(id, "/delivery-service", topic),
            _ => self.origin(id, "/delivery-service", topic),
        };
        Some(StepReported { order_id: id, step, at }.message(origin))
    }

    fn refused(&self, id: OrderId, topic: &str) -> Option<EventMessage> {
        let stored = self.requests.get(&id).and_then(|request| request.refusal.clone());
        let event = match stored {
            Some((reason, refused_at)) => CancellationRefused { order_id: id, reason, refused_at },
            None => CancellationRefused::already_shipped(id, self.shipments.get(&id)?.refused_at?),
        };
        Some(event.message(self.origin_of_request(id, "/delivery-service", topic)))
    }

    fn origin<'a>(&self, id: OrderId, source: &'static str, topic: &'a str) -> Origin<'a> {
        let correlation_id = self.shipments.get(&id).and_then(|it| it.correlation_id.clone());
        Origin { source, topic, correlation_id, trace: None }
    }

    /// With the correlation id of the request to cancel the order.
    fn origin_of_request<'a>(
        &self,
        id: OrderId,
        source: &'static str,
        topic: &'a str,
    ) -> Origin<'a> {
        let shipment = self.shipments.get(&id);
        let correlation_id = shipment.and_then(|it| it.request_correlation_id.clone());
        Origin { source, topic, correlation_id, trace: None }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use domain::Currency;
    use test_kit::{World, order_draft};

    use super::*;
    use crate::orders::{NewOrder, insert_batch};

    #[tokio::test]
    async fn order_created_is_rebuilt_with_every_field() {
        let world = World::create().await;
        let store = Database::new("test", &world.config());
        let topics = Names::default();
        let text = |text: &str| text.to_owned();
        let metadata = [
            ("lane", " 4 "),
            ("gift", "Grüße \u{1f381}"),
            ("\"", ""),
            ("$serde_json::private::Number", "x"),
        ];
        let metadata = metadata
            .into_iter()
            .map(|(key, value)| (text(key).try_into().unwrap(), text(value).try_into().unwrap()));
        let metadata = metadata.collect::<BTreeMap<_, _>>().try_into().unwrap();
        let reference = text("N 1").try_into().ok();
        let all = order_draft().with_options(reference, "USD".parse().ok(), metadata);
        for (key, draft) in [("1", all), ("2", order_draft())] {
            let (owner, key) = (text("alice").try_into().unwrap(), text(key).try_into().unwrap());
            let origin = Origin::new("/sales-api", &topics.order_events);
            let order = NewOrder::new(owner, key, draft, Currency::EUR, origin);
            let mut connection = store.connection().await.unwrap();
            insert_batch(&mut connection, &[&order]).await.unwrap();
            drop(connection);
            let wanted = [(order.id, EventKind::Created)];
            let rebuilt = events(&store, &store, &wanted, &topics).await.unwrap();
            assert_eq!(rebuilt, [order.event]);
        }
    }
}
