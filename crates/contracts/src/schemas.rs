//! The JSON Schemas of values with validation rules.
//!
//! The rules are those of `domain`. A generated client must not reject a value that the API
//! accepts, nor send one that the API rejects. The only exception is the number of decimals of an
//! amount, which only the description states.

use std::borrow::Cow;

use domain::{
    CancellationReason, CustomerId, DeliveryStep, ExternalReference, Metadata, MetadataKey,
    MetadataValue, OrderDraft, OrderStatus, ProductId, Quantity,
};
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, Ref, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// No control characters (C0, C1 and DEL), and no white space at either end.
const IDENTIFIER: &str = r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$";

fn identifier(what: &str, longest: usize, example: &str) -> Object {
    ObjectBuilder::new()
        .description(Some(format!(
            "{what}: 1 to {longest} characters, no control characters, no white space at either end."
        )))
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(longest))
        .pattern(Some(IDENTIFIER))
        .examples([example])
        .build()
}

pub(crate) fn customer_id() -> Object {
    identifier("The customer", CustomerId::MAX_CHARS, "customer-123")
}

pub(crate) fn product_id() -> Object {
    identifier("The product", ProductId::MAX_CHARS, "product-456")
}

pub(crate) fn cancellation_reason() -> Object {
    identifier("Why the order is cancelled", CancellationReason::MAX_CHARS, "ordered twice")
}

pub(crate) fn external_reference() -> Object {
    identifier("The shop's own number of the order", ExternalReference::MAX_CHARS, "1001")
}

/// Lists no codes, because a setting of the API does.
pub(crate) fn currency() -> Object {
    ObjectBuilder::new()
        .description(Some(
            "The currency of all amounts (ISO 4217). A request can name one that the API accepts; \
             without it, the order is in the API's default currency.",
        ))
        .schema_type(Type::String)
        .pattern(Some("^[A-Z]{3}$"))
        .examples(["EUR"])
        .build()
}

pub(crate) fn metadata() -> Object {
    let key = identifier("The name of a value", MetadataKey::MAX_CHARS, "gift");
    let value = ObjectBuilder::new()
        .description(Some("A text without control characters."))
        .schema_type(Type::String)
        .max_length(Some(MetadataValue::MAX_CHARS))
        .pattern(Some(r"^[^\u0000-\u001f\u007f-\u009f]*$"));
    ObjectBuilder::new()
        .description(Some("The client's own data, which the API stores and returns unchanged."))
        .property_names(Some(key))
        .additional_properties(Some(value))
        .max_properties(Some(Metadata::MAX_PAIRS))
        .examples([serde_json::json!({ "gift": "yes" })])
        .build()
}

/// The orders of a list.
fn list_order() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(["-createdAt", "createdAt"]))
        .default(Some("-createdAt".into()))
        .build()
}

pub(crate) fn quantity() -> Object {
    ObjectBuilder::new()
        .description(Some("The number of pieces."))
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(Quantity::MAX))
        .examples([2])
        .build()
}

/// Has no `multipleOf: 0.01`: for validators that use binary floats, 19.99 is not a multiple of
/// 0.01, so a client or a consumer would reject a valid amount.
pub(crate) fn amount() -> Object {
    ObjectBuilder::new()
        .description(Some("An amount with at most two decimals; the API writes it with two."))
        .schema_type(Type::Number)
        .minimum(Some(0))
        .maximum(Some(9_999_999_999.99))
        .examples([29.99])
        .build()
}

pub(crate) fn order_id() -> Object {
    ObjectBuilder::new()
        .description(Some("The id of the order."))
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .examples(["01990000-0000-7000-8000-000000000001"])
        .build()
}

fn order_status() -> Object {
    ObjectBuilder::new()
        .description(Some("The status of an order."))
        .schema_type(Type::String)
        .enum_values(Some(OrderStatus::ALL.map(OrderStatus::as_str)))
        .build()
}

pub(crate) fn step() -> Object {
    ObjectBuilder::new()
        .description(Some("The step to report."))
        .schema_type(Type::String)
        .enum_values(Some(DeliveryStep::DELIVERY.map(DeliveryStep::as_str)))
        .build()
}

pub(crate) fn timestamp() -> Object {
    ObjectBuilder::new()
        .description(Some("An instant in UTC (RFC 3339)."))
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-03-01T12:00:00.000Z"])
        .build()
}

pub(crate) fn updated_at() -> Object {
    let what = "The time of the last change of the status, in UTC (RFC 3339).";
    ObjectBuilder::from(timestamp()).description(Some(what)).build()
}

/// A reference to a schema that sales-api adds, because it defines the codes.
pub(crate) fn problem_code() -> Ref {
    Ref::builder()
        .ref_location_from_schema_name("ProblemCode")
        .description(Some("The kind of problem, for programs."))
        .build()
}

pub(crate) fn created_items() -> Array {
    ArrayBuilder::new()
        .description(Some("The order lines."))
        .items(Ref::from_schema_name("CreateOrderItem"))
        .min_items(Some(1))
        .max_items(Some(OrderDraft::MAX_LINES))
        .build()
}

/// Defines a type with a schema. A field refers to it with `value_type`, which, unlike
/// `schema_with`, keeps the field's own description and example.
macro_rules! schema_type {
    ($type:ident, $name:literal, $schema:path) => {
        pub(crate) struct $type;

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema().into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

schema_type!(CustomerIdSchema, "CustomerId", customer_id);
schema_type!(ExternalReferenceSchema, "ExternalReference", external_reference);
schema_type!(ListOrderSchema, "ListOrder", list_order);
schema_type!(OrderStatusSchema, "OrderStatus", order_status);
schema_type!(TimestampSchema, "Timestamp", timestamp);
