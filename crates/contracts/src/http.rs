//! The bodies of the sales API.

use chrono::{DateTime, Utc};
use domain::{Money, OrderId, OrderStatus};
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::encoding::{display, money, timestamp};
pub use crate::order_events::Item;

/// The header that names a create, so that it can be repeated safely.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The header that marks an answer as a repeat of the first one.
pub const IDEMPOTENT_REPLAYED: &str = "Idempotent-Replayed";
/// The header that ties a request to everything it causes.
pub const CORRELATION_ID: &str = "X-Correlation-ID";

/// Every answer that is no [`crate::problem::Problem`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success<T> {
    /// Always `true`.
    pub success: bool,
    /// The answer.
    pub data: T,
}

impl<T> Success<T> {
    /// Wraps an answer.
    pub const fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

/// The body of `POST /api/orders`, as a client writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateOrder {
    /// Whom the order is for.
    pub customer_id: String,
    /// What is ordered.
    pub items: Vec<CreateOrderItem>,
}

/// One line of a [`CreateOrder`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateOrderItem {
    /// What is sold.
    pub product_id: String,
    /// How many pieces.
    pub quantity: i64,
    /// The price of one piece, with every digit of it.
    pub unit_price: Number,
}

/// The answer to a create. It is made of what never changes about an order, so that a repeat can be answered
/// with the same bytes for as long as the order lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreatedOrder {
    /// The new order.
    #[serde(with = "display")]
    pub order_id: OrderId,
    /// Always [`OrderStatus::PendingShipment`].
    #[serde(with = "display")]
    pub status: OrderStatus,
    /// Whom it is for.
    pub customer_id: String,
    /// What was ordered.
    pub items: Vec<Item>,
    /// The sum of all items.
    #[serde(with = "money")]
    pub total_amount: Money,
    /// When it was accepted.
    #[serde(with = "timestamp")]
    pub created_at: DateTime<Utc>,
}

/// An order as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderDetails {
    /// The order.
    #[serde(with = "display")]
    pub order_id: OrderId,
    /// Where it is now.
    #[serde(with = "display")]
    pub status: OrderStatus,
    /// Whom it is for.
    pub customer_id: String,
    /// What was ordered.
    pub items: Vec<Item>,
    /// The sum of all items.
    #[serde(with = "money")]
    pub total_amount: Money,
    /// When it was accepted.
    #[serde(with = "timestamp")]
    pub created_at: DateTime<Utc>,
    /// Every status it had, oldest first.
    pub status_history: Vec<StatusChange>,
}

/// One step in an order's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    /// The status that was reached.
    #[serde(with = "display")]
    pub status: OrderStatus,
    /// When, by the service that reported it.
    #[serde(with = "timestamp")]
    pub at: DateTime<Utc>,
}

/// A page of orders, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderPage {
    /// The orders. There can be fewer than were asked for, or none, though `next_cursor` says that there are more.
    pub orders: Vec<OrderSummary>,
    /// Where the next page goes on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// An order, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderSummary {
    /// The order.
    #[serde(with = "display")]
    pub order_id: OrderId,
    /// Where it is now.
    #[serde(with = "display")]
    pub status: OrderStatus,
    /// Whom it is for.
    pub customer_id: String,
    /// The sum of all items.
    #[serde(with = "money")]
    pub total_amount: Money,
    /// When it was accepted.
    #[serde(with = "timestamp")]
    pub created_at: DateTime<Utc>,
}

/// The body of `POST /api/orders/{orderId}/simulate-delivery`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SimulateDelivery {
    /// The step to report: `shipped` or `delivered`.
    pub status: String,
}

/// The answer to a command that makes nothing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Always `true`.
    pub success: bool,
    /// What was done.
    pub message: String,
}

/// The answer to `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `healthy`, or `unhealthy` when no order can be taken.
    pub status: String,
    /// Now.
    #[serde(with = "timestamp")]
    pub timestamp: DateTime<Utc>,
    /// Each part by itself.
    pub services: HealthServices,
    /// Seconds since the process started.
    pub uptime: u64,
}

/// The parts of [`Health`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthServices {
    /// `up` or `down`.
    pub database: String,
    /// `up`, since it answers.
    pub api: String,
    /// The state of the circuit breaker: `up`, `probing` or `down`.
    pub inventory: String,
}
