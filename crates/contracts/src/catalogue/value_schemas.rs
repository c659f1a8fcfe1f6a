//! Generates the schema of each event's value. It uses the same rules as the OpenAPI document.
//!
//! The tests in `golden.rs` compare schemas and types: a golden value has exactly the fields of its
//! schema, and the schema rejects every value that the reader rejects.

use domain::{DeliveryStep, OrderDraft, OrderStatus};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cloud_events::data_schema;
use crate::delivery_events::{
    ALREADY_SHIPPED, DELIVERY_VERSION, ORDER_CANCELLATION_REFUSED, event_type,
};
use crate::order_events::{
    ORDER_CANCELLATION_REQUESTED, ORDER_CANCELLATION_REQUESTED_VERSION, ORDER_CREATED,
    ORDER_CREATED_VERSION,
};
use crate::outbox_events::{OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION};
use crate::schemas;

pub(super) fn order_created() -> Value {
    let item = object([
        ("productId", rule(schemas::product_id(), "What is sold.")),
        ("quantity", rule(schemas::quantity(), "How many pieces.")),
        ("price", amount("The price of one piece.")),
    ]);
    let items = json!({
        "description": "What was ordered, as the client listed it.",
        "type": "array", "minItems": 1, "maxItems": OrderDraft::MAX_LINES, "items": item,
    });
    let mut value = object([
        ("orderId", rule(schemas::order_id(), "The order.")),
        ("sequence", sequence(OrderStatus::PendingShipment)),
        ("customerId", rule(schemas::customer_id(), "Whom the order is for.")),
        ("items", items),
        ("totalAmount", amount("The sum of all items.")),
        ("createdAt", rule(schemas::timestamp(), "When the order was accepted, in UTC.")),
    ]);
    for (name, optional) in [
        (
            "externalReference",
            rule(
                schemas::external_reference(),
                "The shop's own number of the order, if it has one.",
            ),
        ),
        ("currency", rule(schemas::currency(), "The currency of all amounts (ISO 4217).")),
        ("metadata", rule(schemas::metadata(), "The client's own data, if it gave any.")),
    ] {
        value["properties"][name] = optional;
    }
    document(ORDER_CREATED, ORDER_CREATED_VERSION, "An order was accepted.", value)
}

pub(super) fn delivery(step: DeliveryStep) -> Value {
    let (what, field, when) = match step {
        DeliveryStep::Shipped => {
            ("The goods of an order left.", "shippedAt", "When they left, in UTC.")
        }
        DeliveryStep::Delivered => {
            ("The goods of an order arrived.", "deliveredAt", "When they arrived, in UTC.")
        }
        DeliveryStep::Cancelled => {
            ("An order was cancelled before it was shipped.", "cancelledAt", "When, in UTC.")
        }
    };
    let value = object([
        ("orderId", rule(schemas::order_id(), "The order.")),
        ("sequence", sequence(step.target())),
        (field, rule(schemas::timestamp(), when)),
    ]);
    document(event_type(step), DELIVERY_VERSION, what, value)
}

pub(super) fn cancellation_requested() -> Value {
    let mut value = object([
        ("orderId", rule(schemas::order_id(), "The order.")),
        ("requestedAt", rule(schemas::timestamp(), "When the request was stored, in UTC.")),
    ]);
    value["properties"]["reason"] = rule(
        schemas::cancellation_reason(),
        "The client's reason; absent if the client gave none.",
    );
    let what = "A client has requested to cancel an order. Whether that is still possible is decided later.";
    let version = ORDER_CANCELLATION_REQUESTED_VERSION;
    document(ORDER_CANCELLATION_REQUESTED, version, what, value)
}

pub(super) fn cancellation_refused() -> Value {
    let reason = json!({
        "description": "Why, for programs. A later minor version can add reasons.",
        "type": "string", "examples": [ALREADY_SHIPPED],
    });
    let value = object([
        ("orderId", rule(schemas::order_id(), "The order.")),
        ("reason", reason),
        ("refusedAt", rule(schemas::timestamp(), "When this was decided, in UTC.")),
    ]);
    let what = "An order could not be cancelled, because it had been shipped.";
    document(ORDER_CANCELLATION_REFUSED, DELIVERY_VERSION, what, value)
}

pub(super) fn outbox_dead_lettered() -> Value {
    let text = |description| json!({ "description": description, "type": "string" });
    let value = object([
        ("orderId", rule(schemas::order_id(), "The order that the event is about.")),
        (
            "eventId",
            json!({ "description": "`ce_id` of the event.", "type": "string", "format": "uuid" }),
        ),
        ("eventType", text("`ce_type` of the event.")),
        ("topic", text("Where the event should have gone.")),
        ("reason", text("Why it did not go there, for a person to read.")),
    ]);
    let what =
        "An event could not be published. It waits, whole, in the table sales.outbox_dead_letters.";
    document(OUTBOX_DEAD_LETTERED, OUTBOX_DEAD_LETTERED_VERSION, what, value)
}

fn document(event_type: &str, version: &str, what: &str, mut value: Value) -> Value {
    value["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    value["$id"] = data_schema(event_type, version).into();
    value["title"] = event_type.into();
    value["description"] = what.into();
    value
}

/// An object with these required fields. Others are allowed, because a later minor version can add
/// them.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let required = fields.each_ref().map(|(name, _)| Value::from(*name));
    let properties: Map<String, Value> =
        fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "required": Value::from(required), "properties": properties })
}

fn rule(rule: impl Serialize, description: &str) -> Value {
    let mut schema = serde_json::to_value(rule).unwrap();
    schema["description"] = description.into();
    // The catalogue has a complete example record instead.
    schema.as_object_mut().unwrap().remove("examples");
    schema
}

fn amount(description: &str) -> Value {
    rule(schemas::amount(), &format!("{description} It has two decimals."))
}

fn sequence(status: OrderStatus) -> Value {
    json!({
        "description": "The place of the event in the life of the order.",
        "type": "integer", "const": status.sequence(),
    })
}
