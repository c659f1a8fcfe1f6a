use domain::{DeliveryStep, OrderStatus};

use crate::StoreError;

/// The step that follows the stored state of a shipment.
pub(super) fn step_after(state: &str) -> Result<DeliveryStep, StoreError> {
    let state: OrderStatus = state.parse().map_err(StoreError::corrupt("shipment state"))?;
    DeliveryStep::ALL
        .into_iter()
        .find(|step| step.origin() == state)
        .ok_or("a delivered shipment has no next step")
        .map_err(StoreError::corrupt("shipment state"))
}
