//! One record of each event type, as the code writes it. The golden files are generated from these.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{DeliveryStep, OrderId};
use serde_json::Value;
use uuid::Uuid;

use super::value_schemas;
use crate::cloud_events::{Attributes, TraceContext};
use crate::delivery_events::{
    CancellationRefused, DELIVERY_VERSION, ORDER_CANCELLATION_REFUSED, StepReported, event_type,
};
use crate::event_id::event_id;
use crate::message::{EventMessage, Origin};
use crate::order_events::{
    CancellationRequested, Item, ORDER_CANCELLATION_REQUESTED,
    ORDER_CANCELLATION_REQUESTED_VERSION, ORDER_CREATED, ORDER_CREATED_VERSION, OrderCreated,
};
use crate::outbox_events::{
    OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION, OutboxDeadLettered,
};
use crate::topics::ORDER_EVENTS;

/// A record of the newest version of an event type, with its schema.
pub(super) struct Sample {
    pub(super) event_type: &'static str,
    pub(super) version: &'static str,
    pub(super) schema: Value,
    pub(super) value: String,
    pub(super) attributes: Attributes,
}

/// The headers in their order, one `name=value` per line.
pub(super) fn header_lines(attributes: &Attributes) -> String {
    let headers = attributes.to_headers();
    let lines: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    lines.concat()
}

/// One sample of each type, all for an order of 1 March 2026.
pub(super) fn all() -> [Sample; 7] {
    [
        created(),
        cancellation_requested(),
        delivery(DeliveryStep::Shipped, "2026-03-01T12:00:03.5Z"),
        delivery(DeliveryStep::Delivered, "2026-03-01T12:00:09.25Z"),
        delivery(DeliveryStep::Cancelled, "2026-03-01T12:00:02.75Z"),
        cancellation_refused(),
        dead_lettered(),
    ]
}

/// The id of an order that was created at [`placed_at`].
fn order_id() -> OrderId {
    Uuid::from_u128(0x019c_a945_0a00_7000_8000_0000_0000_0001).into()
}

fn placed_at() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn created() -> Sample {
    let item = |product: &str, quantity, price: &str| Item {
        product_id: product.to_owned(),
        quantity,
        price: price.parse().unwrap(),
    };
    let event = OrderCreated {
        order_id: order_id(),
        sequence: 1,
        customer_id: "customer-1".to_owned(),
        external_reference: Some("1001".to_owned()),
        items: vec![item("widget", 2, "29.9"), item("gadget", 1, "10")],
        total_amount: "69.8".parse().unwrap(),
        currency: Some("EUR".to_owned()),
        metadata: Some(BTreeMap::from([("gift".to_owned(), "yes".to_owned())])),
        created_at: placed_at(),
    };
    let message = event.message(origin("/sales-api", Some("vendor=00f067aa0ba902b7")));
    sample(ORDER_CREATED, ORDER_CREATED_VERSION, value_schemas::order_created(), message)
}

fn cancellation_requested() -> Sample {
    let event = CancellationRequested {
        order_id: order_id(),
        reason: Some("ordered twice".to_owned()),
        requested_at: "2026-03-01T12:00:02.5Z".parse().unwrap(),
    };
    let (event_type, version) =
        (ORDER_CANCELLATION_REQUESTED, ORDER_CANCELLATION_REQUESTED_VERSION);
    let message = event.message(origin("/sales-api", None));
    sample(event_type, version, value_schemas::cancellation_requested(), message)
}

fn cancellation_refused() -> Sample {
    let at = "2026-03-01T12:00:04Z".parse().unwrap();
    let event = CancellationRefused::already_shipped(order_id(), at);
    let message = event.message(origin("/delivery-service", None));
    let schema = value_schemas::cancellation_refused();
    sample(ORDER_CANCELLATION_REFUSED, DELIVERY_VERSION, schema, message)
}

fn delivery(step: DeliveryStep, at: &str) -> Sample {
    let event = StepReported { order_id: order_id(), step, at: at.parse().unwrap() };
    let message = event.message(origin("/delivery-service", None));
    sample(event_type(step), DELIVERY_VERSION, value_schemas::delivery(step), message)
}

fn dead_lettered() -> Sample {
    let dead = event_id(order_id(), ORDER_CREATED);
    let event = OutboxDeadLettered {
        order_id: order_id(),
        event_id: dead,
        event_type: ORDER_CREATED.to_owned(),
        topic: ORDER_EVENTS.to_owned(),
        reason: concat!(
            "Kafka refuses the record: ",
            "Message production error: MessageSizeTooLarge (Broker: Message size too large)"
        )
        .to_owned(),
    };
    let mut message = event.message(0, placed_at(), origin("/outbox-relay", None));
    // The released example has an id without the redrive count.
    message.attributes.id = event_id(order_id(), &format!("{OUTBOX_DEAD_LETTERED}/{dead}"));
    let schema = value_schemas::outbox_dead_lettered();
    sample(OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION, schema, message)
}

fn sample(
    event_type: &'static str,
    version: &'static str,
    schema: Value,
    message: EventMessage,
) -> Sample {
    let EventMessage { attributes, payload: value, .. } = message;
    Sample { event_type, version, schema, value, attributes }
}

fn origin(source: &'static str, tracestate: Option<&str>) -> Origin<'static> {
    let trace = TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        tracestate: tracestate.map(str::to_owned),
    };
    let correlation_id = Some("checkout-17".to_owned());
    Origin { source, topic: "", correlation_id, trace: Some(trace) }
}
