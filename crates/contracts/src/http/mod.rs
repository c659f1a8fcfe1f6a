//! The request and response bodies of the sales API.

mod create_order;
mod health;
mod list_orders;
mod order;
mod order_events;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::create_order::{CreateOrder, CreateOrderItem, CreatedOrder};
pub use self::health::{
    ApiHealth, DatabaseHealth, Health, HealthServices, HealthStatus, InventoryHealth,
};
pub use self::list_orders::{ListOrders, OrderPage, OrderSummary};
pub use self::order::{
    CancelOrder, CancellationRefusal, CancellationRequest, CancellationState, OrderDetails,
    StatusChange,
};
pub use self::order_events::{ListOrderEvents, OrderEvent, OrderEventPage};
pub use crate::order_events::Item;
use crate::schemas;

/// The request header with the idempotency key of a create, so that the client can retry it safely.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// The response header that marks a replay of the first response.
pub const IDEMPOTENT_REPLAYED: &str = "Idempotent-Replayed";
/// The header with the id of everything that one request causes.
pub const CORRELATION_ID: &str = "X-Correlation-ID";

/// The envelope of a successful response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Success<T> {
    /// Always `true`.
    pub success: bool,
    /// The result.
    pub data: T,
}

impl<T> Success<T> {
    /// Wraps a result.
    pub const fn new(data: T) -> Self {
        Self { success: true, data }
    }
}

/// The body of `POST /api/orders/{orderId}/simulate-delivery`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateDelivery {
    /// The step to report: `shipped` or `delivered`.
    #[schema(schema_with = schemas::step)]
    pub status: String,
}

/// The response to a command that returns no resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Always `true`.
    pub success: bool,
    /// What was done.
    pub message: String,
}
