//! The events of sales-api, on [`crate::topics::ORDER_EVENTS`].

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{Currency, Money, OrderId, OrderLine, OrderStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::encoding::{display, json_text, money, timestamp};
use crate::envelope::{DecodeError, Event, json};
use crate::message::{EventMessage, Origin};
use crate::schemas;

/// The type of [`OrderCreated`].
pub const ORDER_CREATED: &str = "order.created";
/// The version of [`OrderCreated`] that the code writes.
pub const ORDER_CREATED_VERSION: &str = "1.1";

/// An order was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated {
    /// The order's id.
    #[serde(with = "display")]
    pub order_id: OrderId,
    /// The position of the event in the order's history; always 1.
    pub sequence: i16,
    /// The id of the customer.
    pub customer_id: String,
    /// The shop's own number of the order, if the client gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_reference: Option<String>,
    /// The ordered items.
    pub items: Vec<Item>,
    /// The sum of all items.
    #[serde(with = "money")]
    pub total_amount: Money,
    /// The currency of all amounts. Version 1.0 does not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// The client's own data, if it gave any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The time at which the API accepted the order.
    #[serde(with = "timestamp")]
    pub created_at: DateTime<Utc>,
}

impl OrderCreated {
    /// The event of an order, with the fields of version 1.0.
    pub fn new(
        order_id: OrderId,
        customer_id: String,
        lines: &[OrderLine],
        total_amount: Money,
        created_at: DateTime<Utc>,
    ) -> Self {
        let sequence = OrderStatus::PendingShipment.sequence();
        let items = lines.iter().map(Into::into).collect();
        Self {
            order_id,
            sequence,
            customer_id,
            external_reference: None,
            items,
            total_amount,
            currency: None,
            metadata: None,
            created_at,
        }
    }

    /// With the fields of version 1.1.
    #[must_use]
    pub fn with_options(
        self,
        external_reference: Option<String>,
        currency: Currency,
        metadata: BTreeMap<String, String>,
    ) -> Self {
        let metadata = (!metadata.is_empty()).then_some(metadata);
        Self { external_reference, currency: Some(currency.to_string()), metadata, ..self }
    }

    /// The message to publish.
    pub fn message(&self, origin: Origin<'_>) -> EventMessage {
        let (order, time, payload) = (self.order_id, self.created_at, json_text(self));
        EventMessage::new(order, ORDER_CREATED, ORDER_CREATED_VERSION, time, payload, origin)
    }
}

/// The type of [`CancellationRequested`].
pub const ORDER_CANCELLATION_REQUESTED: &str = "order.cancellation-requested";
/// The version of [`CancellationRequested`] that the code writes.
pub const ORDER_CANCELLATION_REQUESTED_VERSION: &str = "1.0";

/// A client has requested to cancel an order. delivery-service decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancellationRequested {
    /// The order's id.
    #[serde(with = "display")]
    pub order_id: OrderId,
    /// The client's reason, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The time at which the API stored the request.
    #[serde(with = "timestamp")]
    pub requested_at: DateTime<Utc>,
}

impl CancellationRequested {
    /// The message to publish. There is at most one for an order.
    pub fn message(&self, origin: Origin<'_>) -> EventMessage {
        let (order, time, payload) = (self.order_id, self.requested_at, json_text(self));
        EventMessage::new(
            order,
            ORDER_CANCELLATION_REQUESTED,
            ORDER_CANCELLATION_REQUESTED_VERSION,
            time,
            payload,
            origin,
        )
    }
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// The id of the product.
    #[schema(schema_with = schemas::product_id)]
    pub product_id: String,
    /// Number of pieces.
    #[schema(schema_with = schemas::quantity)]
    pub quantity: i32,
    /// The price of one piece.
    #[serde(with = "money")]
    #[schema(schema_with = schemas::amount)]
    pub price: Money,
}

impl From<&OrderLine> for Item {
    fn from(line: &OrderLine) -> Self {
        Self {
            product_id: line.product_id.to_string(),
            quantity: line.quantity.get(),
            price: line.price,
        }
    }
}

/// An event of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderEvent {
    /// An order was accepted.
    Created(OrderCreated),
    /// A client has requested to cancel an order.
    CancellationRequested(CancellationRequested),
}

impl Event for OrderEvent {
    fn decode(event_type: &str, value: &[u8]) -> Result<Self, DecodeError> {
        match event_type {
            ORDER_CREATED => json(value).map(Self::Created),
            ORDER_CANCELLATION_REQUESTED => json(value).map(Self::CancellationRequested),
            unknown => Err(DecodeError::UnknownType(unknown.to_owned())),
        }
    }

    fn order_id(&self) -> OrderId {
        match self {
            Self::Created(event) => event.order_id,
            Self::CancellationRequested(event) => event.order_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_event_type_is_rejected() {
        let error = OrderEvent::decode("order.shipped", b"{}").unwrap_err();
        assert_eq!(error.class(), "unknown-type");
    }
}
