//! The status of an order: Pending Shipment, Shipped, Delivered. It advances one step at a time and
//! never goes back.

use std::fmt;
use std::str::FromStr;

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderStatus {
    /// Accepted, not shipped yet.
    PendingShipment,
    /// Shipped, not delivered yet.
    Shipped,
    /// Delivered. This is the final status.
    Delivered,
}

/// A step of the delivery of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryStep {
    /// The goods were shipped.
    Shipped,
    /// The goods were delivered.
    Delivered,
}

/// The effect of a reported step on an order with a given status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The order gets this status.
    Advance(OrderStatus),
    /// The order has already reached the status of the step. Nothing changes.
    Stale,
    /// A preceding step is missing.
    Gap,
}

impl OrderStatus {
    /// Every status, from first to last.
    pub const ALL: [Self; 3] = [Self::PendingShipment, Self::Shipped, Self::Delivered];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingShipment => "Pending Shipment",
            Self::Shipped => "Shipped",
            Self::Delivered => "Delivered",
        }
    }

    /// The position in the order's history, 1 to 3. It is also the `sequence` of the event.
    pub const fn sequence(self) -> i16 {
        match self {
            Self::PendingShipment => 1,
            Self::Shipped => 2,
            Self::Delivered => 3,
        }
    }

    /// The state machine: the effect of `step` on an order with this status.
    pub const fn progress(self, step: DeliveryStep) -> Progress {
        let target = step.target();
        match target.sequence() - self.sequence() {
            1 => Progress::Advance(target),
            ..=0 => Progress::Stale,
            2.. => Progress::Gap,
        }
    }
}

impl DeliveryStep {
    /// Every step, from first to last.
    pub const ALL: [Self; 2] = [Self::Shipped, Self::Delivered];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
        }
    }

    /// The status that an order has after the step.
    pub const fn target(self) -> OrderStatus {
        match self {
            Self::Shipped => OrderStatus::Shipped,
            Self::Delivered => OrderStatus::Delivered,
        }
    }

    /// The status that an order must have before the step.
    pub const fn origin(self) -> OrderStatus {
        match self {
            Self::Shipped => OrderStatus::PendingShipment,
            Self::Delivered => OrderStatus::Shipped,
        }
    }
}

impl fmt::Display for OrderStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: Pending Shipment, Shipped, Delivered")]
pub struct UnknownStatus;

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

/// The text is not a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: shipped, delivered")]
pub struct UnknownStep;

impl FromStr for DeliveryStep {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        Self::ALL.into_iter().find(|step| step.as_str() == text).ok_or(UnknownStep)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_order_moves_one_step_at_a_time_and_never_back() {
        use DeliveryStep as Step;
        use OrderStatus as Status;
        for (status, step, progress) in [
            (Status::PendingShipment, Step::Shipped, Progress::Advance(Status::Shipped)),
            (Status::PendingShipment, Step::Delivered, Progress::Gap),
            (Status::Shipped, Step::Shipped, Progress::Stale),
            (Status::Shipped, Step::Delivered, Progress::Advance(Status::Delivered)),
            (Status::Delivered, Step::Shipped, Progress::Stale),
            (Status::Delivered, Step::Delivered, Progress::Stale),
        ] {
            assert_eq!(status.progress(step), progress, "{status} and {step:?}");
        }
    }

    #[test]
    fn a_step_advances_exactly_the_status_it_starts_from() {
        for step in DeliveryStep::ALL {
            for status in OrderStatus::ALL {
                let advances = status.progress(step) == Progress::Advance(step.target());
                assert_eq!(advances, status == step.origin(), "{status} and {step:?}");
            }
        }
    }

    #[test]
    fn a_status_survives_a_round_trip_through_its_name() {
        for status in OrderStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        assert_eq!("shipped".parse::<OrderStatus>(), Err(UnknownStatus));
    }

    proptest! {
        /// If reports are lost, repeated or reordered, each report still advances an order by at
        /// most one step.
        #[test]
        fn no_sequence_of_reports_moves_an_order_back_or_past_a_step(
            reports in vec(prop_oneof![Just(DeliveryStep::Shipped), Just(DeliveryStep::Delivered)], 0..30)
        ) {
            let mut status = OrderStatus::PendingShipment;
            for step in reports {
                let before = status;
                match status.progress(step) {
                    Progress::Advance(next) => status = next,
                    Progress::Stale => prop_assert!(step.target() <= status),
                    Progress::Gap => prop_assert!(step.origin() > status),
                }
                prop_assert!((0..=1).contains(&(status.sequence() - before.sequence())));
            }
        }
    }
}
