//! Creates new orders, and reads the steps that are published for them.

use chrono::{SubsecRound, Utc};
use contracts::cloud_events::TraceContext;
use contracts::delivery_events::DeliveryEvent;
use contracts::envelope::{Envelope, Event};
use contracts::message::Origin;
use contracts::order_events::{CancellationRequested, Item, OrderCreated};
use domain::OrderId;
use test_kit::{PlainRecord, World, eventually, produce_all, read_all};

pub(crate) const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The record of a new order.
pub(crate) fn created(order: OrderId) -> PlainRecord {
    created_with(order, None)
}

/// The same with a `tracestate`.
pub(crate) fn created_with(order: OrderId, tracestate: Option<String>) -> PlainRecord {
    let event = OrderCreated {
        order_id: order,
        sequence: 1,
        customer_id: "customer-1".into(),
        external_reference: None,
        items: vec![Item { product_id: "widget".into(), quantity: 1, price: "1".parse().unwrap() }],
        total_amount: "1".parse().unwrap(),
        currency: Some("EUR".into()),
        metadata: None,
        created_at: Utc::now().trunc_subsecs(3),
    };
    let origin = Origin {
        source: "/sales-api",
        topic: "",
        correlation_id: Some("checkout-17".into()),
        trace: Some(TraceContext { traceparent: TRACE.into(), tracestate }),
    };
    event.message(origin).into()
}

/// The record of a request to cancel an order.
pub(crate) fn cancellation(order: OrderId) -> PlainRecord {
    let event = CancellationRequested {
        order_id: order,
        reason: Some("ordered twice".to_owned()),
        requested_at: Utc::now().trunc_subsecs(3),
    };
    let correlation_id = Some("cancel-18".to_owned());
    event.message(Origin { correlation_id, ..Origin::new("/sales-api", "") }).into()
}

/// Publishes a new order, as the relay would.
pub(crate) async fn announce(world: &World, order: OrderId) {
    produce_all(&world.stack, &world.topics.order_events, &[created(order)]).await;
}

/// The steps published so far, decoded as a consumer would.
pub(crate) async fn reported(world: &World) -> Vec<Envelope<DeliveryEvent>> {
    let records = read_all(&world.stack, &world.topics.delivery_events).await;
    records
        .iter()
        .map(|record| {
            Envelope::decode(record.key.as_deref(), record.value.as_deref(), |name| {
                record.header(name)
            })
            .unwrap()
        })
        .collect()
}

/// The types of the events of an order, in their order, without repetitions.
pub(crate) fn types_of(events: &[Envelope<DeliveryEvent>], order: OrderId) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for envelope in events.iter().filter(|it| it.event.order_id() == order) {
        let event_type = &envelope.attributes.event_type;
        if !types.contains(event_type) {
            types.push(event_type.clone());
        }
    }
    types
}

pub(crate) async fn delivered(world: &World, orders: i64) {
    let done = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
    eventually("all are delivered", async || {
        (world.database.count(done).await == orders).then_some(())
    })
    .await;
}
