//! Tables that Diesel's query builder uses. `migrations/` defines them.

diesel::table! {
    sales.orders (id) {
        id -> Uuid,
        owner -> Text,
        idempotency_key -> Text,
        fingerprint -> Bytea,
        customer_id -> Text,
        total_amount -> Numeric,
        status -> Text,
        created_at -> Timestamptz,
        external_reference -> Nullable<Text>,
        currency -> Text,
        metadata -> Nullable<Jsonb>,
    }
}

diesel::table! {
    sales.order_items (order_id, line_no) {
        order_id -> Uuid,
        line_no -> SmallInt,
        product_id -> Text,
        quantity -> Integer,
        unit_price -> Numeric,
    }
}

diesel::table! {
    sales.order_status_history (order_id, sequence) {
        order_id -> Uuid,
        sequence -> SmallInt,
        status -> Text,
        event_id -> Uuid,
        occurred_at -> Timestamptz,
        recorded_at -> Timestamptz,
    }
}
