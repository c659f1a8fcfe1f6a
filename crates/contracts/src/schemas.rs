//! What JSON Schema says of values that have rules of their own.
//!
//! The rules are those of `domain`; a document that is looser or stricter than the code misleads whoever generates a
//! client from it.

use domain::{CustomerId, DeliveryStep, OrderDraft, OrderStatus, ProductId, Quantity};
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, Type};
use utoipa::openapi::{KnownFormat, Ref, SchemaFormat};

/// No control characters (C0, C1 and DEL), and no white space at either end.
const IDENTIFIER: &str = r"^[^\s\u0000-\u001f\u007f-\u009f]([^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f])?$";

fn identifier(longest: usize, example: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(longest))
        .pattern(Some(IDENTIFIER))
        .examples([example])
        .build()
}

pub(crate) fn customer_id() -> Object {
    identifier(CustomerId::MAX_CHARS, "customer-1")
}

pub(crate) fn product_id() -> Object {
    identifier(ProductId::MAX_CHARS, "widget")
}

pub(crate) fn quantity() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(Quantity::MAX))
        .examples([2])
        .build()
}

/// An amount has at most two decimals, and is written with two.
pub(crate) fn amount() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::Number)
        .minimum(Some(0))
        .maximum(Some(9_999_999_999.99))
        .multiple_of(Some(0.01))
        .examples([29.99])
        .build()
}

pub(crate) fn order_id() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .examples(["01990000-0000-7000-8000-000000000001"])
        .build()
}

pub(crate) fn status() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(OrderStatus::ALL.map(OrderStatus::as_str)))
        .build()
}

pub(crate) fn step() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(DeliveryStep::ALL.map(DeliveryStep::as_str)))
        .build()
}

pub(crate) fn timestamp() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-03-01T12:00:00.000Z"])
        .build()
}

pub(crate) fn created_items() -> Array {
    ArrayBuilder::new()
        .items(Ref::from_schema_name("CreateOrderItem"))
        .min_items(Some(1))
        .max_items(Some(OrderDraft::MAX_LINES))
        .build()
}
