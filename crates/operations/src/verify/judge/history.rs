//! Checks the history of an order in the database.

use contracts::event_id::event_id;
use store::audit::AuditedOrder;
use store::rebuild::EventKind;

use crate::verify::findings::{Findings, Invariant};

/// I4 and I5, of the history in the database.
pub(crate) fn history(order: &AuditedOrder, findings: &mut Findings) {
    findings.checked(Invariant::Transitions, 1);
    findings.checked(Invariant::Order, 1);
    for status in order.status.path() {
        let rows = order.history.iter().filter(|row| row.status == *status).count();
        if rows != 1 {
            findings.violation(Invariant::Transitions, order.id, || {
                format!("is {}, and its history has {rows} rows for {status}", order.status)
            });
        }
    }
    for row in &order.history {
        let event_type = EventKind::of_status(row.status).event_type();
        if !order.status.includes(row.status) {
            findings.violation(Invariant::Transitions, order.id, || {
                format!("is {}, and its history has {}", order.status, row.status)
            });
        } else if row.sequence != row.status.sequence() {
            findings.violation(Invariant::Transitions, order.id, || {
                format!("its history has {} at position {}", row.status, row.sequence)
            });
        } else if row.event_id != event_id(order.id, event_type) {
            findings.violation(Invariant::Transitions, order.id, || {
                format!(
                    "became {} by event {}, which is not its {event_type}",
                    row.status, row.event_id
                )
            });
        }
    }
    for pair in order.history.windows(2) {
        let [before, after] = pair else { continue };
        if after.recorded_at < before.recorded_at {
            findings.violation(Invariant::Order, order.id, || {
                format!("{} was stored before {}", after.status, before.status)
            });
        }
        if after.occurred_at < before.occurred_at {
            findings.clock_skew.add(Some(order.id), || {
                format!("{} is dated before {}", after.status, before.status)
            });
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use chrono::{DateTime, Utc};
    use domain::OrderStatus::{Cancelled, Delivered, Shipped};
    use domain::{OrderId, OrderStatus};
    use store::audit::HistoryRow;

    use super::*;
    use crate::verify::ledger::tests::order as bare_order;

    pub(crate) fn second(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    /// An order with a complete history.
    pub(crate) fn order(status: OrderStatus) -> AuditedOrder {
        let mut order = bare_order(OrderId::generate().as_uuid().as_u128(), status);
        let row = |reached: OrderStatus| HistoryRow {
            sequence: reached.sequence(),
            status: reached,
            event_id: event_id(order.id, EventKind::of_status(reached).event_type()),
            occurred_at: second(reached.sequence().into()),
            recorded_at: second(reached.sequence().into()),
        };
        order.history = status.path().iter().copied().map(row).collect();
        order
    }

    fn of_history(order: &AuditedOrder) -> Findings {
        let mut findings = Findings::default();
        history(order, &mut findings);
        findings
    }

    #[test]
    fn a_complete_history_is_no_violation() {
        for status in OrderStatus::ALL {
            let findings = of_history(&order(status));
            assert_eq!(findings.violations(), 0, "{findings:?}");
            assert_eq!(findings.of(Invariant::Transitions).checked, 1);
        }
    }

    #[test]
    fn each_error_in_a_history_is_reported() {
        type Fault = fn(&mut AuditedOrder);
        let transitions: [(Fault, &str); 5] = [
            (
                |it| {
                    it.history.remove(1);
                },
                "is Delivered, and its history has 0 rows for Shipped",
            ),
            (
                |it| it.history.push(it.history[2]),
                "is Delivered, and its history has 2 rows for Delivered",
            ),
            (|it| it.status = Shipped, "is Shipped, and its history has Delivered"),
            (|it| it.history[2].sequence = 2, "its history has Delivered at position 2"),
            (|it| it.history[1].event_id = uuid::Uuid::nil(), "which is not its order.shipped"),
        ];
        for (fault, words) in transitions {
            let mut order = order(Delivered);
            fault(&mut order);
            let violations = &of_history(&order).of(Invariant::Transitions).violations.clone();
            assert_eq!(violations.count, 1, "{words}: {violations:?}");
            assert!(violations.listed[0].what.contains(words), "{violations:?}");
            assert_eq!(violations.listed[0].order_id, Some(order.id.to_string()));
        }
    }

    #[test]
    fn each_error_in_the_history_of_a_cancelled_order_is_reported() {
        let shipped = order(Shipped).history[1];
        let mut both = order(Cancelled);
        both.history.push(HistoryRow { sequence: 3, ..shipped });
        let mut incomplete = order(Cancelled);
        incomplete.history.remove(1);
        for (order, words) in [
            (both, "is Cancelled, and its history has Shipped"),
            (incomplete, "is Cancelled, and its history has 0 rows for Cancelled"),
        ] {
            let violations = &of_history(&order).of(Invariant::Transitions).violations.clone();
            assert_eq!((violations.count, violations.listed[0].what.as_str()), (1, words));
        }
    }

    #[test]
    fn statuses_are_ordered_by_the_time_of_storage_not_of_the_event() {
        let mut backwards = order(Delivered);
        backwards.history[2].recorded_at = second(1);
        let findings = of_history(&backwards);
        assert_eq!(
            findings.of(Invariant::Order).violations.listed[0].what,
            "Delivered was stored before Shipped"
        );
        assert_eq!(findings.clock_skew.count, 0);

        let mut clock_skew = order(Delivered);
        clock_skew.history[2].occurred_at = second(1);
        let findings = of_history(&clock_skew);
        assert_eq!((findings.violations(), findings.clock_skew.count), (0, 1));
    }
}
