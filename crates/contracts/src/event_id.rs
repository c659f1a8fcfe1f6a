//! The id of an event is a function of what happened, not of who reports it.

use domain::OrderId;
use uuid::Uuid;

/// A UUID of version 5 (RFC 9562) over the order and the event type.
///
/// An order meets each type once in its life. So a publish that is repeated after a crash, and the same step
/// reported by two services, are one event to everybody downstream.
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
