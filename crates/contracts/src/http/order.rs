//! One order, and the request to cancel it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{Money, OrderId, OrderStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::encoding::{display, money, timestamp};
use crate::order_events::Item;
use crate::schemas::{self, OrderStatusSchema};

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

/// The body of `POST /api/orders/{orderId}/cancel`, which is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// Why the order is cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schemas::cancellation_reason, required = false)]
    pub reason: Option<String>,
}
