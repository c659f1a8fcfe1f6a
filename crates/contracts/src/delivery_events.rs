//! The events of delivery-service, on [`crate::topics::DELIVERY_EVENTS`].

use chrono::{DateTime, Utc};
use domain::{DeliveryStep, OrderId};
use serde::{Deserialize, Serialize};

use crate::encoding::{display, json_text, timestamp};
use crate::envelope::{DecodeError, Event, json};
use crate::message::{EventMessage, Origin};

/// The type of a [`DeliveryStep::Shipped`] event.
pub const ORDER_SHIPPED: &str = "order.shipped";
/// The type of a [`DeliveryStep::Delivered`] event.
pub const ORDER_DELIVERED: &str = "order.delivered";
/// The type of a [`DeliveryStep::Cancelled`] event.
pub const ORDER_CANCELLED: &str = "order.cancelled";
/// The type of [`CancellationRefused`].
pub const ORDER_CANCELLATION_REFUSED: &str = "order.cancellation-refused";
/// The version of all these types that the code writes.
pub const DELIVERY_VERSION: &str = "1.0";

/// The event type of a step.
pub const fn event_type(step: DeliveryStep) -> &'static str {
    match step {
        DeliveryStep::Shipped => ORDER_SHIPPED,
        DeliveryStep::Delivered => ORDER_DELIVERED,
        DeliveryStep::Cancelled => ORDER_CANCELLED,
    }
}

/// An event of the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryEvent {
    /// A step of the delivery of an order.
    Step(StepReported),
    /// An order cannot be cancelled any more.
    CancellationRefused(CancellationRefused),
}

/// A step of the delivery of an order: shipped, delivered, or cancelled instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReported {
    /// The order's id.
    pub order_id: OrderId,
    /// The step.
    pub step: DeliveryStep,
    /// The time of the step.
    pub at: DateTime<Utc>,
}

/// An order whose cancellation was requested had been shipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancellationRefused {
    /// The order's id.
    #[serde(with = "display")]
    pub order_id: OrderId,
    /// Why it was refused, for programs: [`ALREADY_SHIPPED`].
    pub reason: String,
    /// The time of the decision.
    #[serde(with = "timestamp")]
    pub refused_at: DateTime<Utc>,
}

/// The reason of a refusal: the goods had left.
pub const ALREADY_SHIPPED: &str = "ALREADY_SHIPPED";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shipped {
    #[serde(with = "display")]
    order_id: OrderId,
    sequence: i16,
    #[serde(with = "timestamp")]
    shipped_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivered {
    #[serde(with = "display")]
    order_id: OrderId,
    sequence: i16,
    #[serde(with = "timestamp")]
    delivered_at: DateTime<Utc>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled {
    #[serde(with = "display")]
    order_id: OrderId,
    sequence: i16,
    #[serde(with = "timestamp")]
    cancelled_at: DateTime<Utc>,
}

impl StepReported {
    /// The message to publish. It has the same id whichever service reports the step, so
    /// status-consumer applies only the first one.
    pub fn message(&self, origin: Origin<'_>) -> EventMessage {
        let event_type = event_type(self.step);
        let payload = self.encode();
        EventMessage::new(self.order_id, event_type, DELIVERY_VERSION, self.at, payload, origin)
    }

    /// The value of the record: JSON with `orderId`, `sequence` and the time of the step.
    pub(crate) fn encode(&self) -> String {
        let Self { order_id, step, at } = *self;
        let sequence = step.target().sequence();
        match step {
            DeliveryStep::Shipped => json_text(&Shipped { order_id, sequence, shipped_at: at }),
            DeliveryStep::Delivered => {
                json_text(&Delivered { order_id, sequence, delivered_at: at })
            }
            DeliveryStep::Cancelled => {
                json_text(&Cancelled { order_id, sequence, cancelled_at: at })
            }
        }
    }
}

impl CancellationRefused {
    /// The refusal of an order that had been shipped.
    pub fn already_shipped(order_id: OrderId, refused_at: DateTime<Utc>) -> Self {
        Self { order_id, reason: ALREADY_SHIPPED.to_owned(), refused_at }
    }

    /// The message to publish.
    pub fn message(&self, origin: Origin<'_>) -> EventMessage {
        let (order, time, payload) = (self.order_id, self.refused_at, json_text(self));
        EventMessage::new(
            order,
            ORDER_CANCELLATION_REFUSED,
            DELIVERY_VERSION,
            time,
            payload,
            origin,
        )
    }
}

impl Event for DeliveryEvent {
    fn decode(event_type: &str, value: &[u8]) -> Result<Self, DecodeError> {
        let step = |order_id, step, at| Self::Step(StepReported { order_id, step, at });
        match event_type {
            ORDER_SHIPPED => json(value).map(|Shipped { order_id, shipped_at, .. }| {
                step(order_id, DeliveryStep::Shipped, shipped_at)
            }),
            ORDER_DELIVERED => json(value).map(|Delivered { order_id, delivered_at, .. }| {
                step(order_id, DeliveryStep::Delivered, delivered_at)
            }),
            ORDER_CANCELLED => json(value).map(|Cancelled { order_id, cancelled_at, .. }| {
                step(order_id, DeliveryStep::Cancelled, cancelled_at)
            }),
            ORDER_CANCELLATION_REFUSED => json(value).map(Self::CancellationRefused),
            unknown => Err(DecodeError::UnknownType(unknown.to_owned())),
        }
    }

    fn order_id(&self) -> OrderId {
        match self {
            Self::Step(event) => event.order_id,
            Self::CancellationRefused(event) => event.order_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::cloud_events::{Attributes, data_schema};
    use crate::envelope::Envelope;

    fn decode(
        attributes: &Attributes,
        key: &str,
        value: Option<&str>,
    ) -> Result<Envelope<DeliveryEvent>, DecodeError> {
        let headers = attributes.to_headers();
        Envelope::decode(Some(key.as_bytes()), value.map(str::as_bytes), |name| {
            headers.iter().find(|(n, _)| n == name).map(|(_, text)| text.as_bytes())
        })
    }

    #[test]
    fn each_decode_error_has_its_class() {
        let event = StepReported {
            order_id: Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001).into(),
            step: DeliveryStep::Shipped,
            at: "2026-03-01T12:00:03.5Z".parse().unwrap(),
        };
        let EventMessage { attributes: good, payload: value, .. } =
            event.message(Origin::new("/delivery-service", "deliveries"));
        let key = event.order_id.to_string();
        let class = |attributes: &Attributes, key: &str, value| {
            decode(attributes, key, value).unwrap_err().class()
        };

        assert_eq!(class(&good, &key, None), "tombstone");
        assert_eq!(class(&good, &key, Some("{")), "invalid-value");
        assert_eq!(class(&good, &key, Some("{}")), "invalid-value");
        assert_eq!(class(&good, &Uuid::nil().to_string(), Some(&value)), "key-mismatch");
        let other_type = Attributes { event_type: "order.eaten".into(), ..good.clone() };
        assert_eq!(class(&other_type, &key, Some(&value)), "unknown-type");
        let next_major =
            Attributes { data_schema: data_schema(ORDER_SHIPPED, "2.0"), ..good.clone() };
        assert_eq!(class(&next_major, &key, Some(&value)), "unsupported-version");
        let next_minor = Attributes { data_schema: data_schema(ORDER_SHIPPED, "1.7"), ..good };
        assert!(decode(&next_minor, &key, Some(&value)).is_ok());
    }
}
