//! Which orders are looked at.
//!
//! An id carries the moment of its order, so a span of time is a range of ids. In a topic there can be ids of any kind,
//! also of orders that never existed; those that carry no moment are looked at whatever the span is.

use chrono::{DateTime, Utc};
use conf::Conf;
use contracts::parse_timestamp;
use domain::{OrderId, Owner};
use store::audit::Scope;
use uuid::Uuid;

#[derive(Default, Conf)]
pub(crate) struct Selected {
    /// Only orders of this instant and later ones, as in 2026-03-01T12:00:00Z
    #[conf(long, value_parser = parse_instant)]
    since: Option<DateTime<Utc>>,

    /// Only earlier orders than this instant
    #[conf(long, value_parser = parse_instant)]
    until: Option<DateTime<Utc>>,

    /// Only the order with this id
    #[conf(long)]
    pub(super) order: Option<OrderId>,

    /// Only orders of this subject
    #[conf(long, value_parser = parse_owner)]
    owner: Option<Owner>,
}

/// What was selected.
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
    /// Whether a record with this order in its key is looked at.
    pub(crate) fn concerns(&self, order: Option<OrderId>) -> bool {
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
        // As a generated id of that moment is marked.
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
            assert_eq!(selection.concerns(Some(of(instant))), inside, "{instant}");
        }
        let undated = Uuid::from_u128(0x0190_0000_0000_4000_8000_0000_0000_0001);
        assert!(selection.concerns(Some(undated.into())) && selection.concerns(None));
    }

    #[test]
    fn one_order_is_all_that_is_looked_at() {
        let order = OrderId::generate();
        let selection = select(None, None, Some(order));
        assert!(selection.concerns(Some(order)));
        assert!(!selection.concerns(Some(OrderId::generate())) && !selection.concerns(None));
        assert_eq!(
            selection.scope.before.as_uuid().as_u128() - selection.scope.since.as_uuid().as_u128(),
            1
        );
    }
}
