//! The id of an event. It depends on the order and the event type, not on the service that reports
//! it.

use domain::OrderId;
use uuid::Uuid;

/// A version 5 UUID (RFC 9562) of the order's id and the event type.
///
/// Each event type occurs once per order. So a record that is published again after a crash, and
/// the same step reported by two services, are one event to every consumer.
pub fn event_id(order: OrderId, event_type: &str) -> Uuid {
    Uuid::new_v5(&order.as_uuid(), event_type.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_in_old_topics_stay_valid() {
        let order = OrderId::from(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(
            event_id(order, "order.shipped").to_string(),
            "6219c03c-6839-51df-bfc0-c060b71cca7b"
        );
    }
}
