//! The request and response bodies of the sales API.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{Money, OrderId, OrderStatus};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::{IntoParams, ToSchema};

use crate::encoding::{display, money, timestamp};
pub use crate::order_events::Item;
use crate::schemas::{
    self, CustomerIdSchema, ExternalReferenceSchema, ListOrderSchema, OrderStatusSchema,
    TimestampSchema,
};

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

/// The body of `POST /api/orders`, as a client writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateOrder {
    /// The id of the customer.
    #[schema(schema_with = schemas::customer_id)]
    pub customer_id: String,
    /// The ordered items.
    #[schema(schema_with = schemas::created_items)]
    pub items: Vec<CreateOrderItem>,
    /// The shop's own number of the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::external_reference, required = false)]
    pub external_reference: Option<String>,
    /// The currency of all amounts; without it, the first one of the setting `CURRENCIES`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::currency, required = false)]
    pub currency: Option<String>,
    /// The client's own data.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = schemas::metadata, required = false)]
    pub metadata: BTreeMap<String, String>,
}

impl CreateOrder {
    /// An order with the required fields only.
    pub fn new(customer_id: String, items: Vec<CreateOrderItem>) -> Self {
        Self {
            customer_id,
            items,
            external_reference: None,
            currency: None,
            metadata: BTreeMap::new(),
        }
    }
}

/// One line of a new order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateOrderItem {
    /// The id of the product.
    #[schema(schema_with = schemas::product_id)]
    pub product_id: String,
    /// Number of pieces.
    #[schema(schema_with = schemas::quantity)]
    pub quantity: i64,
    /// The price of one piece, in full precision.
    #[schema(schema_with = schemas::amount)]
    pub price: Number,
}

/// The response to a create. It contains only fields that never change, so that a replay gets the same bytes
/// for as long as the order exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedOrder {
    /// The new order.
    #[serde(with = "display")]
    #[schema(schema_with = schemas::order_id)]
    pub order_id: OrderId,
    /// Always `Pending Shipment`.
    #[serde(with = "display")]
    #[schema(value_type = OrderStatusSchema)]
    pub status: OrderStatus,
    /// The id of the customer.
    pub customer_id: String,
    /// The shop's own number of the order; absent if the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::external_reference, required = false)]
    pub external_reference: Option<String>,
    /// The ordered items.
    pub items: Vec<Item>,
    /// The sum of all items.
    #[serde(with = "money")]
    #[schema(schema_with = schemas::amount)]
    pub total_amount: Money,
    /// The currency of all amounts; absent if the request did not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::currency, required = false)]
    pub currency: Option<String>,
    /// The client's own data; absent if it gave none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = schemas::metadata, required = false)]
    pub metadata: BTreeMap<String, String>,
    /// The time at which the API accepted the order.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub created_at: DateTime<Utc>,
}

/// An order with its current status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderDetails {
    /// The order.
    #[serde(with = "display")]
    #[schema(schema_with = schemas::order_id)]
    pub order_id: OrderId,
    /// The current status.
    #[serde(with = "display")]
    #[schema(value_type = OrderStatusSchema)]
    pub status: OrderStatus,
    /// The id of the customer.
    pub customer_id: String,
    /// The owner: the subject of the token that the order was created with. Only operators get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// The shop's own number of the order; absent if the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::external_reference, required = false)]
    pub external_reference: Option<String>,
    /// The ordered items.
    pub items: Vec<Item>,
    /// The sum of all items.
    #[serde(with = "money")]
    #[schema(schema_with = schemas::amount)]
    pub total_amount: Money,
    /// The currency of all amounts.
    #[schema(schema_with = schemas::currency)]
    pub currency: String,
    /// The client's own data; absent if it gave none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(schema_with = schemas::metadata, required = false)]
    pub metadata: BTreeMap<String, String>,
    /// The time at which the API accepted the order.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change of the status, as the service that reported it states.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::updated_at)]
    pub updated_at: DateTime<Utc>,
    /// Every status of the order, oldest first.
    pub status_history: Vec<StatusChange>,
    /// The state of the request to cancel the order; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cancellation: Option<CancellationState>,
    /// The request to cancel the order; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cancellation_request: Option<CancellationRequest>,
}

/// The state of a request to cancel an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CancellationState {
    /// Not decided yet.
    Requested,
    /// The order is cancelled.
    Cancelled,
    /// The order had been shipped.
    Refused,
}

/// A request to cancel an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancellationRequest {
    /// The subject of the token of the request.
    pub requested_by: String,
    /// The client's reason; absent if it gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The time of the request.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub requested_at: DateTime<Utc>,
    /// Why the request was refused; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub refusal: Option<CancellationRefusal>,
}

/// Why a request to cancel an order was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CancellationRefusal {
    /// `ALREADY_SHIPPED`. A later version can add reasons.
    pub reason: String,
    /// The time of the decision.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub at: DateTime<Utc>,
}

/// A status that an order reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StatusChange {
    /// The status that was reached.
    #[serde(with = "display")]
    #[schema(value_type = OrderStatusSchema)]
    pub status: OrderStatus,
    /// The time of the change, as the service that reported it states.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub at: DateTime<Utc>,
    /// Why the order was cancelled, if the client gave a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Who cancelled the order: the subject of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub requested_by: Option<String>,
}

/// The query of `GET /api/orders`. Every parameter is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListOrders {
    /// Return only orders of this customer.
    #[param(inline, value_type = Option<CustomerIdSchema>, example = "customer-123")]
    pub customer_id: Option<String>,
    /// Return only orders with this external reference.
    #[param(inline, value_type = Option<ExternalReferenceSchema>, example = "1001")]
    pub external_reference: Option<String>,
    /// Return only orders with one of these statuses: `status=Shipped&status=Delivered`.
    #[param(value_type = Option<Vec<OrderStatusSchema>>, example = json!(["Shipped", "Delivered"]))]
    pub status: Vec<String>,
    /// Return only orders that were created at this time or later.
    #[param(inline, value_type = Option<TimestampSchema>, example = "2026-03-01T00:00:00Z")]
    pub created_after: Option<String>,
    /// Return only orders that were created before this time.
    #[param(inline, value_type = Option<TimestampSchema>, example = "2026-04-01T00:00:00Z")]
    pub created_before: Option<String>,
    /// The order of the list: `-createdAt` for newest first, `createdAt` for oldest first.
    #[param(inline, value_type = Option<ListOrderSchema>, example = "-createdAt")]
    pub sort: Option<String>,
    /// The maximum number of orders in a page.
    #[param(minimum = 1, maximum = 100, default = json!(Self::DEFAULT_LIMIT), example = 50)]
    pub limit: Option<u16>,
    /// The `nextCursor` of the previous page, with the same filters and the same `sort`.
    #[param(example = "AZkAAAAAcACAAAAAAAAAAZk5b8d1o2Yw4c7eQ0uJ9sE")]
    pub cursor: Option<String>,
}

impl ListOrders {
    /// The value of `limit` if it is unset.
    pub const DEFAULT_LIMIT: u16 = 20;
}

/// A page of orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderPage {
    /// The orders. There can be fewer than `limit`, or none, although `nextCursor` is there.
    pub orders: Vec<OrderSummary>,
    /// The cursor of the next page; absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next_cursor: Option<String>,
}

/// An order in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderSummary {
    /// The order.
    #[serde(with = "display")]
    #[schema(schema_with = schemas::order_id)]
    pub order_id: OrderId,
    /// The current status.
    #[serde(with = "display")]
    #[schema(value_type = OrderStatusSchema)]
    pub status: OrderStatus,
    /// The id of the customer.
    pub customer_id: String,
    /// The owner: the subject of the token that the order was created with. Only operators get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub owner: Option<String>,
    /// The shop's own number of the order; absent if the client gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::external_reference, required = false)]
    pub external_reference: Option<String>,
    /// The sum of all items.
    #[serde(with = "money")]
    #[schema(schema_with = schemas::amount)]
    pub total_amount: Money,
    /// The currency of all amounts.
    #[schema(schema_with = schemas::currency)]
    pub currency: String,
    /// The time at which the API accepted the order.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub created_at: DateTime<Utc>,
    /// The time of the last change of the status, as the service that reported it states.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::updated_at)]
    pub updated_at: DateTime<Utc>,
}

/// The query of `GET /api/orders/events`. Every parameter is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct ListOrderEvents {
    /// The `nextCursor` of the previous page, or the id of the last event of a stream; `end` for what
    /// happens from now on; the beginning of the feed when unset.
    #[param(example = "AZkAAAAAcACAAAAAAAAAAZk5b8d1o2Yw4c7eQ0uJ9sE")]
    pub after: Option<String>,
    /// The maximum number of events in a page.
    #[param(minimum = 1, maximum = 100, default = json!(Self::DEFAULT_LIMIT), example = 50)]
    pub limit: Option<u16>,
}

impl ListOrderEvents {
    /// The value of `limit` if it is unset.
    pub const DEFAULT_LIMIT: u16 = 100;
    /// The value of `after` for the end of the feed as of now.
    pub const END: &str = "end";
}

/// A page of the change feed, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderEventPage {
    /// The events. There can be fewer than `limit`, or none, although more follow.
    pub events: Vec<OrderEvent>,
    /// The cursor of the next page. There always is one: later events follow it.
    pub next_cursor: String,
}

/// A status that an order reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderEvent {
    /// The order.
    #[serde(with = "display")]
    #[schema(schema_with = schemas::order_id)]
    pub order_id: OrderId,
    /// The id of the customer.
    pub customer_id: String,
    /// The position in the history of the order: 1 Pending Shipment, 2 Shipped or Cancelled, 3
    /// Delivered.
    pub sequence: i16,
    /// The status that was reached.
    #[serde(with = "display")]
    #[schema(value_type = OrderStatusSchema)]
    pub status: OrderStatus,
    /// The time of the change, as the service that reported it states.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub at: DateTime<Utc>,
}

/// The body of `POST /api/orders/{orderId}/simulate-delivery`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SimulateDelivery {
    /// The step to report: `shipped` or `delivered`.
    #[schema(schema_with = schemas::step)]
    pub status: String,
}

/// The body of `POST /api/orders/{orderId}/cancel`, which is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// Why the order is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::cancellation_reason, required = false)]
    pub reason: Option<String>,
}

/// The response to a command that returns no resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// Always `true`.
    pub success: bool,
    /// What was done.
    pub message: String,
}

/// The response to `GET /health`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// Whether the database is available. Independent of the inventory.
    pub status: HealthStatus,
    /// The current time.
    #[serde(with = "timestamp")]
    #[schema(schema_with = schemas::timestamp)]
    pub timestamp: DateTime<Utc>,
    /// The state of each component.
    pub services: HealthServices,
    /// Seconds since the process started.
    pub uptime: u64,
}

/// The state of each component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HealthServices {
    /// Whether the database is available: it responds and accepts writes.
    pub database: DatabaseHealth,
    /// Always `up`: the API responded.
    pub api: ApiHealth,
    /// The state of the circuit breaker, not of the inventory itself.
    pub inventory: InventoryHealth,
}

/// Whether orders can be stored and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// The database responds.
    Healthy,
    /// The database does not respond.
    Unhealthy,
}

/// Whether the database is available: it responds and accepts writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseHealth {
    /// The database responds.
    Up,
    /// The database does not respond.
    Down,
}

/// Whether the API responds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiHealth {
    /// The API responds.
    Up,
}

/// The circuit breaker of the inventory: `up` until enough requests in a row have failed, then `down` (new orders are
/// refused with 503 at once), and `probing` while one request tries the inventory again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InventoryHealth {
    /// Closed: requests are sent to the inventory.
    Up,
    /// Open: no requests are sent to the inventory.
    Down,
    /// Half-open: one request at a time is sent to the inventory.
    Probing,
}
