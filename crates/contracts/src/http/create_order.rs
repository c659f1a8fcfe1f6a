//! Creating an order.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{Money, OrderId, OrderStatus};
use serde::{Deserialize, Serialize};
use serde_json::Number;
use utoipa::ToSchema;

use crate::encoding::{display, money, timestamp};
use crate::order_events::Item;
use crate::schemas::{self, OrderStatusSchema};

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
