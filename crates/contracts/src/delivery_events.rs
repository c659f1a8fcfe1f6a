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
/// The version of both types that the code writes.
pub const DELIVERY_VERSION: &str = "1.0";

/// The event type of a step.
pub const fn event_type(step: DeliveryStep) -> &'static str {
    match step {
        DeliveryStep::Shipped => ORDER_SHIPPED,
        DeliveryStep::Delivered => ORDER_DELIVERED,
    }
}

/// A delivery step of an order: shipped or delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryEvent {
    /// The order's id.
    pub order_id: OrderId,
    /// The step.
    pub step: DeliveryStep,
    /// The time of the step.
    pub at: DateTime<Utc>,
}

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

impl DeliveryEvent {
    /// The message to publish. It has the same id whichever service reports the step, so
    /// status-consumer applies only the first one.
    pub fn message(&self, origin: Origin<'_>) -> EventMessage {
        let event_type = event_type(self.step);
        let payload = self.encode();
        EventMessage::new(self.order_id, event_type, DELIVERY_VERSION, self.at, payload, origin)
    }

    /// The value of the record: JSON with `orderId`, `sequence` and `shippedAt` or `deliveredAt`.
    pub(crate) fn encode(&self) -> String {
        let Self { order_id, step, at } = *self;
        let sequence = step.target().sequence();
        match step {
            DeliveryStep::Shipped => json_text(&Shipped { order_id, sequence, shipped_at: at }),
            DeliveryStep::Delivered => {
                json_text(&Delivered { order_id, sequence, delivered_at: at })
            }
        }
    }
}

impl Event for DeliveryEvent {
    fn decode(event_type: &str, value: &[u8]) -> Result<Self, DecodeError> {
        match event_type {
            ORDER_SHIPPED => json(value).map(|Shipped { order_id, shipped_at, .. }| Self {
                order_id,
                step: DeliveryStep::Shipped,
                at: shipped_at,
            }),
            ORDER_DELIVERED => json(value).map(|Delivered { order_id, delivered_at, .. }| Self {
                order_id,
                step: DeliveryStep::Delivered,
                at: delivered_at,
            }),
            unknown => Err(DecodeError::UnknownType(unknown.to_owned())),
        }
    }

    fn order_id(&self) -> OrderId {
        self.order_id
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
        let event = DeliveryEvent {
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
