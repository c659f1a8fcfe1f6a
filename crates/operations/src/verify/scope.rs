//! Selects orders.
//!
//! An order id contains the time of its creation, so a time range is a range of ids. A topic may
//! contain other ids, also of orders that never existed. An id without a time is always selected.

use chrono::{DateTime, Utc};
use domain::{OrderId, Owner};
use store::audit::Scope;
use uuid::Uuid;

/// The selected orders.
#[derive(Debug)]
pub struct Selection {
    pub(crate) scope: Scope,
    pub(crate) only: Option<OrderId>,
}

impl Selection {
    /// Selects the orders that were created at or after `since` and before `until`.
    pub fn created(since: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Self {
        let least = |at: DateTime<Utc>| OrderId::least_at(at.timestamp_millis());
        let since = since.map_or(OrderId::MIN, least);
        let before = until.map_or(OrderId::MAX, least);
        Self { scope: Scope { since, before, owner: None }, only: None }
    }

    /// Selects one order.
    pub fn one(order: OrderId) -> Self {
        let after = order.as_uuid().as_u128().saturating_add(1);
        let scope = Scope { since: order, before: Uuid::from_u128(after).into(), owner: None };
        Self { scope, only: Some(order) }
    }

    /// Restricts the selection to the orders of `owner`, if there is one.
    #[must_use]
    pub fn of(mut self, owner: Option<Owner>) -> Self {
        self.scope.owner = owner;
        self
    }

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

#[cfg(test)]
mod tests {
    use contracts::parse_timestamp;

    use super::*;

    fn of(instant: &str) -> OrderId {
        let least = OrderId::least_at(parse_timestamp(instant).unwrap().timestamp_millis());
        // With the version of a generated id.
        Uuid::from_u128(least.as_uuid().as_u128() | 7 << 76).into()
    }

    #[test]
    fn a_time_range_selects_the_order_ids_of_that_time() {
        let noon = "2026-03-01T12:00:00Z";
        let [since, until] = [noon, "2026-03-01T13:00:00Z"].map(parse_timestamp);
        let selection = Selection::created(since, until);
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
    fn an_order_id_selects_only_that_order() {
        let order = OrderId::generate();
        let selection = Selection::one(order);
        assert!(selection.includes(Some(order)));
        assert!(!selection.includes(Some(OrderId::generate())) && !selection.includes(None));
        assert_eq!(
            selection.scope.before.as_uuid().as_u128() - selection.scope.since.as_uuid().as_u128(),
            1
        );
    }
}
