use contracts::delivery_events::{ORDER_CANCELLATION_REFUSED, event_type};
use domain::{DeliveryStep, OrderStatus};

use crate::StoreError;

/// The next event of a shipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextEvent {
    /// A step is reported.
    Step(DeliveryStep),
    /// A request to cancel the order is refused.
    CancellationRefused,
}

impl NextEvent {
    /// The value of `ce_type`.
    pub const fn event_type(self) -> &'static str {
        match self {
            Self::Step(step) => event_type(step),
            Self::CancellationRefused => ORDER_CANCELLATION_REFUSED,
        }
    }

    /// The status of the shipment after the event, if it changes.
    pub(super) const fn target(self) -> Option<OrderStatus> {
        match self {
            Self::Step(step) => Some(step.target()),
            Self::CancellationRefused => None,
        }
    }

    /// The event that follows the stored state of a shipment.
    pub(super) fn after(state: &str, cancellation: Option<&str>) -> Result<Self, StoreError> {
        let state: OrderStatus = state.parse().map_err(StoreError::corrupt("shipment state"))?;
        match (state, cancellation) {
            (OrderStatus::PendingShipment, Some("accepted")) => {
                Ok(Self::Step(DeliveryStep::Cancelled))
            }
            (OrderStatus::PendingShipment, _) => Ok(Self::Step(DeliveryStep::Shipped)),
            (OrderStatus::Shipped | OrderStatus::Delivered, Some("refusing")) => {
                Ok(Self::CancellationRefused)
            }
            (OrderStatus::Shipped, _) => Ok(Self::Step(DeliveryStep::Delivered)),
            (OrderStatus::Delivered | OrderStatus::Cancelled, _) => {
                let error = "a finished shipment has no next event";
                Err(StoreError::corrupt("shipment state")(error))
            }
        }
    }
}
