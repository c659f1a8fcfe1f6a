//! The life of an order: Pending Shipment, Shipped, Delivered. It only goes forwards, one step at a time.

use std::fmt;
use std::str::FromStr;

/// Where an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OrderStatus {
    /// Accepted, not yet on its way.
    PendingShipment,
    /// On its way.
    Shipped,
    /// With the customer; the end.
    Delivered,
}

/// What delivery reports about an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryStep {
    /// The goods left.
    Shipped,
    /// The goods arrived.
    Delivered,
}

/// What a reported step means for an order in a given status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The order moves to this status.
    Advance(OrderStatus),
    /// The order has already been there: a repeat, which changes nothing.
    Stale,
    /// A step in between is missing.
    Gap,
}

impl OrderStatus {
    /// Every status, in the order of an order's life.
    pub const ALL: [Self; 3] = [Self::PendingShipment, Self::Shipped, Self::Delivered];

    /// The name that people and the API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingShipment => "Pending Shipment",
            Self::Shipped => "Shipped",
            Self::Delivered => "Delivered",
        }
    }

    /// The place in the order's history, and of the event that led here: 1, 2, 3.
    pub const fn sequence(self) -> i16 {
        match self {
            Self::PendingShipment => 1,
            Self::Shipped => 2,
            Self::Delivered => 3,
        }
    }

    /// The state machine: what `step` does to an order that is here.
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
    /// Every step, in the order of an order's life.
    pub const ALL: [Self; 2] = [Self::Shipped, Self::Delivered];

    /// The name that the API uses.
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

    /// The one status that the step starts from.
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

/// The text names no status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: Pending Shipment, Shipped, Delivered")]
pub struct UnknownStatus;

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

/// The text names no step.
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
    fn a_status_survives_its_name() {
        for status in OrderStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        assert_eq!("shipped".parse::<OrderStatus>(), Err(UnknownStatus));
    }

    proptest! {
        /// However reports are lost, repeated and swapped, an order is only ever where it was or one step further.
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
