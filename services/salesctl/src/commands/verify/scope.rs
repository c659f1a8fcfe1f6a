//! Selects orders.
//!
//! An order id contains the time of its creation, so a time range is a range of ids. A topic may
//! contain other ids, also of orders that never existed. An id without a time is always selected.

use chrono::{DateTime, Utc};
use conf::Conf;
use contracts::parse_timestamp;
use domain::{OrderId, Owner};
use store::audit::Scope;
use uuid::Uuid;

#[derive(Default, Conf)]
pub(crate) struct Selected {
    /// Only orders created at or after this instant, as in 2026-03-01T12:00:00Z
    #[conf(long, value_parser = parse_instant)]
    since: Option<DateTime<Utc>>,

    /// Only orders created before this instant
    #[conf(long, value_parser = parse_instant)]
    until: Option<DateTime<Utc>>,

    /// Only the order with this id
    #[conf(long)]
    pub(super) order: Option<OrderId>,

    /// Only orders of this subject
    #[conf(long, value_parser = parse_owner)]
    owner: Option<Owner>,
}

/// The selected orders.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) scope: Scope,
    only: Option<OrderId>,
}

impl Selected {
    pub(crate) fn selection(self) -> Selection {
        let least = |at: DateTime<Utc>| OrderId::least_at(at.timestamp_millis());
        let (since, before) = match self.order {
            Some(order) => {
                let after = order.as_uuid().as_u128().saturating_add(1);
                (order, Uuid::from_u128(after).into())
            }
            None => {
                (self.since.map_or(OrderId::MIN, least), self.until.map_or(OrderId::MAX, least))
            }
        };
        Selection { scope: Scope { since, before, owner: self.owner }, only: self.order }
    }
}

impl Selection {
    /// Whether a record with this order in its key is selected.
    pub(crate) fn includes(&self, order: Option<OrderId>) -> bool {
        match (self.only, order) {
            (Some(only), order) => order == Some(only),
            (None, None) => true,
            (None, Some(order)) => {
                let dated = order.as_uuid().get_version_num() == 7;
                !dated || (self.scope.since..self.scope.before).contains(&order)
            }
        }
    }
}

fn parse_instant(text: &str) -> Result<DateTime<Utc>, &'static str> {
    parse_timestamp(text).ok_or("must be an instant as in 2026-03-01T12:00:00Z")
}

fn parse_owner(text: &str) -> Result<Owner, String> {
    Owner::try_from(text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(since: Option<&str>, until: Option<&str>, order: Option<OrderId>) -> Selection {
        let instant = |text: Option<&str>| text.map(|text| parse_instant(text).unwrap());
        let (since, until) = (instant(since), instant(until));
        Selected { since, until, order, ..Selected::default() }.selection()
    }

    fn of(instant: &str) -> OrderId {
        let least = OrderId::least_at(parse_instant(instant).unwrap().timestamp_millis());
        // With the version of a generated id.
        Uuid::from_u128(least.as_uuid().as_u128() | 7 << 76).into()
    }

    #[test]
    fn a_span_of_time_is_a_range_of_ids() {
        let noon = "2026-03-01T12:00:00Z";
        let selection = select(Some(noon), Some("2026-03-01T13:00:00Z"), None);
        for (instant, inside) in [
            ("2026-03-01T11:59:59.999Z", false),
            (noon, true),
            ("2026-03-01T12:59:59.999Z", true),
            ("2026-03-01T13:00:00Z", false),
        ] {
            assert_eq!(selection.includes(Some(of(instant))), inside, "{instant}");
        }
        let undated = Uuid::from_u128(0x0190_0000_0000_4000_8000_0000_0000_0001);
        assert!(selection.includes(Some(undated.into())) && selection.includes(None));
    }

    #[test]
    fn with_an_order_id_only_that_order_is_selected() {
        let order = OrderId::generate();
        let selection = select(None, None, Some(order));
        assert!(selection.includes(Some(order)));
        assert!(!selection.includes(Some(OrderId::generate())) && !selection.includes(None));
        assert_eq!(
            selection.scope.before.as_uuid().as_u128() - selection.scope.since.as_uuid().as_u128(),
            1
        );
    }
}
