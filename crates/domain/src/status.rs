//! The status of an order: Pending Shipment, Shipped, Delivered; or Pending Shipment, Cancelled. It
//! advances one step at a time and never goes back.

use std::fmt;
use std::str::FromStr;

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OrderStatus {
    /// Accepted, not shipped yet.
    PendingShipment,
    /// Shipped, not delivered yet.
    Shipped,
    /// Delivered. This is a final status.
    Delivered,
    /// Cancelled before it was shipped. This is a final status.
    Cancelled,
}

/// A step of the delivery of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeliveryStep {
    /// The goods were shipped.
    Shipped,
    /// The goods were delivered.
    Delivered,
    /// The order was cancelled, instead of shipped.
    Cancelled,
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
    /// The order took another path: it was cancelled, and shipped.
    Conflict,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 4] =
        [Self::PendingShipment, Self::Shipped, Self::Delivered, Self::Cancelled];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PendingShipment => "Pending Shipment",
            Self::Shipped => "Shipped",
            Self::Delivered => "Delivered",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Every status of an order that has this one, from first to last.
    pub const fn path(self) -> &'static [Self] {
        use OrderStatus::{Cancelled, Delivered, PendingShipment, Shipped};
        match self {
            PendingShipment => &[PendingShipment],
            Shipped => &[PendingShipment, Shipped],
            Delivered => &[PendingShipment, Shipped, Delivered],
            Cancelled => &[PendingShipment, Cancelled],
        }
    }

    /// The position in the order's history, 1 to 3. It is also the `sequence` of the event.
    pub const fn sequence(self) -> i16 {
        match self {
            Self::PendingShipment => 1,
            Self::Shipped | Self::Cancelled => 2,
            Self::Delivered => 3,
        }
    }

    /// Whether no step follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Delivered | Self::Cancelled)
    }

    /// Whether an order with this status has been `other`.
    pub fn includes(self, other: Self) -> bool {
        self.path().contains(&other)
    }

    /// The state machine: the effect of `step` on an order with this status.
    pub fn progress(self, step: DeliveryStep) -> Progress {
        let target = step.target();
        if self == step.origin() {
            Progress::Advance(target)
        } else if self.includes(target) {
            Progress::Stale
        } else if target.includes(self) {
            Progress::Gap
        } else {
            Progress::Conflict
        }
    }
}

impl DeliveryStep {
    /// Every step.
    pub const ALL: [Self; 3] = [Self::Shipped, Self::Delivered, Self::Cancelled];
    /// The steps of an order that is not cancelled, from first to last.
    pub const DELIVERY: [Self; 2] = [Self::Shipped, Self::Delivered];

    /// The name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status that an order has after the step.
    pub const fn target(self) -> OrderStatus {
        match self {
            Self::Shipped => OrderStatus::Shipped,
            Self::Delivered => OrderStatus::Delivered,
            Self::Cancelled => OrderStatus::Cancelled,
        }
    }

    /// The status that an order must have before the step.
    pub const fn origin(self) -> OrderStatus {
        match self {
            Self::Shipped | Self::Cancelled => OrderStatus::PendingShipment,
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
#[error("must be one of: Pending Shipment, Shipped, Delivered, Cancelled")]
pub struct UnknownStatus;

impl FromStr for OrderStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownStatus)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn an_order_moves_one_step_at_a_time_and_never_back() {
        use DeliveryStep as Step;
        use OrderStatus as Status;
        for (status, step, progress) in [
            (Status::PendingShipment, Step::Shipped, Progress::Advance(Status::Shipped)),
            (Status::PendingShipment, Step::Delivered, Progress::Gap),
            (Status::PendingShipment, Step::Cancelled, Progress::Advance(Status::Cancelled)),
            (Status::Shipped, Step::Shipped, Progress::Stale),
            (Status::Shipped, Step::Delivered, Progress::Advance(Status::Delivered)),
            (Status::Shipped, Step::Cancelled, Progress::Conflict),
            (Status::Delivered, Step::Shipped, Progress::Stale),
            (Status::Delivered, Step::Delivered, Progress::Stale),
            (Status::Delivered, Step::Cancelled, Progress::Conflict),
            (Status::Cancelled, Step::Shipped, Progress::Conflict),
            (Status::Cancelled, Step::Delivered, Progress::Conflict),
            (Status::Cancelled, Step::Cancelled, Progress::Stale),
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
    fn each_path_is_made_of_steps() {
        for status in OrderStatus::ALL {
            let path = status.path();
            assert_eq!((path[0], path[path.len() - 1]), (OrderStatus::PendingShipment, status));
            for (at, pair) in path.windows(2).enumerate() {
                let mut steps = DeliveryStep::ALL.into_iter();
                assert!(steps.any(|step| [step.origin(), step.target()] == *pair), "{pair:?}");
                assert_eq!(usize::try_from(pair[1].sequence()), Ok(at + 2));
            }
            let mut steps = DeliveryStep::ALL.into_iter();
            assert_eq!(status.is_final(), !steps.any(|step| step.origin() == status));
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
        /// most one step, and no order is both shipped and cancelled.
        #[test]
        fn no_sequence_of_reports_moves_an_order_back_or_past_a_step(
            reports in vec(select(&DeliveryStep::ALL[..]), 0..30)
        ) {
            let mut status = OrderStatus::PendingShipment;
            for step in reports {
                let before = status;
                match status.progress(step) {
                    Progress::Advance(next) => status = next,
                    Progress::Stale => prop_assert!(status.includes(step.target())),
                    Progress::Gap => prop_assert!(step.target().includes(status)),
                    Progress::Conflict => prop_assert!(
                        status == OrderStatus::Cancelled || step == DeliveryStep::Cancelled
                    ),
                }
                prop_assert!(status.includes(before));
                prop_assert!((0..=1).contains(&(status.sequence() - before.sequence())));
            }
        }
    }
}
