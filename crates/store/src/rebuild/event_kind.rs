use contracts::delivery_events::{
    ORDER_CANCELLATION_REFUSED, ORDER_CANCELLED, ORDER_DELIVERED, ORDER_SHIPPED,
};
use contracts::order_events::{ORDER_CANCELLATION_REQUESTED, ORDER_CREATED};
use domain::OrderStatus;

/// An event about an order. Each occurs at most once for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The order was accepted.
    Created,
    /// A client has requested to cancel the order.
    CancellationRequested,
    /// The goods were shipped.
    Shipped,
    /// The request came too late.
    CancellationRefused,
    /// The goods were delivered.
    Delivered,
    /// The order was cancelled, instead of shipped.
    Cancelled,
}

impl EventKind {
    /// Every kind. The events of an order can be published in this order.
    pub const ALL: [Self; 6] = [
        Self::Created,
        Self::CancellationRequested,
        Self::Shipped,
        Self::CancellationRefused,
        Self::Delivered,
        Self::Cancelled,
    ];

    /// The value of `ce_type`.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Created => ORDER_CREATED,
            Self::CancellationRequested => ORDER_CANCELLATION_REQUESTED,
            Self::Shipped => ORDER_SHIPPED,
            Self::CancellationRefused => ORDER_CANCELLATION_REFUSED,
            Self::Delivered => ORDER_DELIVERED,
            Self::Cancelled => ORDER_CANCELLED,
        }
    }

    /// The kind with this `ce_type`.
    pub fn of_type(event_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.event_type() == event_type)
    }

    /// The event that leads to this status.
    pub const fn of_status(status: OrderStatus) -> Self {
        match status {
            OrderStatus::PendingShipment => Self::Created,
            OrderStatus::Shipped => Self::Shipped,
            OrderStatus::Delivered => Self::Delivered,
            OrderStatus::Cancelled => Self::Cancelled,
        }
    }

    /// The status that the event leads to, if it changes the status.
    pub const fn status(self) -> Option<OrderStatus> {
        match self {
            Self::Created => Some(OrderStatus::PendingShipment),
            Self::Shipped => Some(OrderStatus::Shipped),
            Self::Delivered => Some(OrderStatus::Delivered),
            Self::Cancelled => Some(OrderStatus::Cancelled),
            Self::CancellationRequested | Self::CancellationRefused => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_own_type_and_each_status_its_kind() {
        for kind in EventKind::ALL {
            assert_eq!(EventKind::of_type(kind.event_type()), Some(kind));
            assert!(kind.status().is_none_or(|status| EventKind::of_status(status) == kind));
        }
        for status in OrderStatus::ALL {
            assert_eq!(EventKind::of_status(status).status(), Some(status));
        }
        assert_eq!(EventKind::of_type("order.eaten"), None);
    }
}
