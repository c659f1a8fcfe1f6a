//! Listing orders.

use chrono::{DateTime, Utc};
use domain::{Money, OrderId, OrderStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::encoding::{display, money, timestamp};
use crate::schemas::{
    self, CustomerIdSchema, ExternalReferenceSchema, ListOrderSchema, OrderStatusSchema,
    TimestampSchema,
};

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
