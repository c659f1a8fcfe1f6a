//! The change feed.

use chrono::{DateTime, Utc};
use domain::{OrderId, OrderStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::encoding::{display, timestamp};
use crate::schemas::{self, OrderStatusSchema};

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
    /// The shop's own number of the order, if the client gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::external_reference, required = false)]
    pub external_reference: Option<String>,
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
