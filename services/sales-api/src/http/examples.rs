//! Examples of requests and responses, all of the same order.

use serde_json::{Value, json};

pub(crate) fn create_order() -> Value {
    json!({
        "customerId": "customer-123",
        "items": [{ "productId": "product-456", "quantity": 2, "price": 29.99 }]
    })
}

pub(crate) fn created_order() -> Value {
    json!({
        "success": true,
        "data": {
            "orderId": "01990000-0000-7000-8000-000000000001",
            "status": "Pending Shipment",
            "customerId": "customer-123",
            "items": [{ "productId": "product-456", "quantity": 2, "price": 29.99 }],
            "totalAmount": 59.98,
            "createdAt": "2026-03-01T12:00:00.000Z"
        }
    })
}

pub(crate) fn order() -> Value {
    json!({
        "success": true,
        "data": {
            "orderId": "01990000-0000-7000-8000-000000000001",
            "status": "Delivered",
            "customerId": "customer-123",
            "items": [{ "productId": "product-456", "quantity": 2, "price": 29.99 }],
            "totalAmount": 59.98,
            "currency": "EUR",
            "createdAt": "2026-03-01T12:00:00.000Z",
            "updatedAt": "2026-03-01T12:00:09.480Z",
            "statusHistory": [
                { "status": "Pending Shipment", "at": "2026-03-01T12:00:00.000Z" },
                { "status": "Shipped", "at": "2026-03-01T12:00:05.120Z" },
                { "status": "Delivered", "at": "2026-03-01T12:00:09.480Z" }
            ]
        }
    })
}

pub(crate) fn cancel_order() -> Value {
    json!({ "reason": "ordered twice" })
}

pub(crate) fn cancellation_requested() -> Value {
    let pending = json!({ "status": "Pending Shipment", "at": "2026-03-01T12:00:00.000Z" });
    cancellation("Pending Shipment", &[pending], "requested")
}

pub(crate) fn cancelled_order() -> Value {
    let pending = json!({ "status": "Pending Shipment", "at": "2026-03-01T12:00:00.000Z" });
    let cancelled = json!({
        "status": "Cancelled", "at": "2026-03-01T12:00:02.620Z",
        "reason": "ordered twice", "requestedBy": "web-shop"
    });
    cancellation("Cancelled", &[pending, cancelled], "cancelled")
}

fn cancellation(status: &str, history: &[Value], state: &str) -> Value {
    let mut order = order();
    order["data"]["status"] = status.into();
    order["data"]["statusHistory"] = history.into();
    order["data"]["updatedAt"] = history.last().map_or(Value::Null, |last| last["at"].clone());
    order["data"]["cancellation"] = state.into();
    order["data"]["cancellationRequest"] = json!({
        "requestedBy": "web-shop", "reason": "ordered twice", "requestedAt": "2026-03-01T12:00:02.500Z"
    });
    order
}

pub(crate) fn orders() -> Value {
    json!({
        "success": true,
        "data": {
            "orders": [{
                "orderId": "01990000-0000-7000-8000-000000000001",
                "status": "Delivered",
                "customerId": "customer-123",
                "totalAmount": 59.98,
                "currency": "EUR",
                "createdAt": "2026-03-01T12:00:00.000Z",
                "updatedAt": "2026-03-01T12:00:09.480Z"
            }],
            "nextCursor": "AZkAAAAAcACAAAAAAAAAAZk5b8d1o2Yw4c7eQ0uJ9sE"
        }
    })
}

pub(crate) fn order_events() -> Value {
    json!({
        "success": true,
        "data": {
            "events": [{
                "orderId": "01990000-0000-7000-8000-000000000001",
                "customerId": "customer-123",
                "externalReference": "1001",
                "sequence": 2,
                "status": "Shipped",
                "at": "2026-03-01T12:00:05.120Z"
            }],
            "nextCursor": "AZkAAAAAcACAAAAAAAAAAZk5b8d1o2Yw4c7eQ0uJ9sE"
        }
    })
}

pub(crate) fn event_stream() -> Value {
    let event = &order_events()["data"]["events"][0];
    format!("id: AZkAAAAAcACAAAAAAAAAAZk5b8d1o2Yw4c7eQ0uJ9sE\ndata: {event}\n\n").into()
}

pub(crate) fn simulate_delivery() -> Value {
    json!({ "status": "shipped" })
}

pub(crate) fn simulated() -> Value {
    json!({
        "success": true,
        "message": "Simulated shipped event for order 01990000-0000-7000-8000-000000000001"
    })
}

pub(crate) fn healthy() -> Value {
    health("healthy", "up")
}

pub(crate) fn unhealthy() -> Value {
    health("unhealthy", "down")
}

fn health(status: &str, database: &str) -> Value {
    json!({
        "status": status,
        "timestamp": "2026-03-01T12:00:00.000Z",
        "services": { "database": database, "api": "up", "inventory": "up" },
        "uptime": 86400
    })
}

#[cfg(test)]
mod tests {
    use contracts::http::{CreatedOrder, Done, OrderDetails, OrderEventPage, OrderPage, Success};
    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;

    /// Compares with the type of the body, because a response schema allows additional fields.
    fn assert_written_by<T: Serialize + DeserializeOwned>(example: &Value) {
        let body: T = serde_json::from_value(example.clone()).unwrap();
        assert_eq!(serde_json::to_value(body).unwrap(), *example);
    }

    #[test]
    fn the_api_writes_the_example_responses() {
        assert_written_by::<Success<CreatedOrder>>(&created_order());
        assert_written_by::<Success<OrderDetails>>(&order());
        assert_written_by::<Success<OrderDetails>>(&cancellation_requested());
        assert_written_by::<Success<OrderDetails>>(&cancelled_order());
        assert_written_by::<Success<OrderPage>>(&orders());
        assert_written_by::<Success<OrderEventPage>>(&order_events());
        assert_written_by::<Done>(&simulated());
    }
}
