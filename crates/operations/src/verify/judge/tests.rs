use domain::OrderStatus::{self, Delivered, PendingShipment, Shipped};
use store::audit::{AuditedOrder, AuditedShipment, WaitingEvent};

use super::history::tests::{order, second};
use super::order as order_of_topics;
use super::*;
use crate::repair::Plan;
use crate::verify::ledger::tests::{event_record, order as bare_order};

/// One order and the data about it.
struct Case {
    ledger: Ledger,
    id: OrderId,
    horizons: Horizons,
    criteria: Criteria,
}

impl Case {
    fn of(status: OrderStatus) -> Self {
        let order = order(status);
        let mut ledger = Ledger::default();
        ledger.add(&order);
        let now = second(100).timestamp_millis();
        let criteria = Criteria { now, stuck_after: 300_000, drained: false };
        Self { ledger, id: order.id, horizons: Horizons::default(), criteria }
    }

    /// The events are in their topics, and their consumers have not read them.
    fn published(mut self, events: &[OrderStatus]) -> Self {
        for event in events {
            self.ledger.add_record(self.id, *event, event_record(0));
        }
        self
    }

    fn shipment(mut self, state: OrderStatus) -> Self {
        self.ledger.add_shipment(&AuditedShipment {
            order_id: self.id,
            state,
            step_scheduled: false,
            refused: false,
        });
        self
    }

    fn in_outbox(mut self, event: OrderStatus, refused: bool) -> Self {
        let event_type = event_type(event).to_owned();
        self.ledger.add_outbox_event(&WaitingEvent { order_id: self.id, event_type, refused });
        self
    }

    /// The consumer of the topic has processed all records.
    fn consumed(mut self, stream: Stream) -> Self {
        self.ledger.consume_all(stream);
        self
    }

    fn judge(&self) -> (Findings, Account) {
        let mut findings = Findings::default();
        events(&self.ledger, self.horizons, &mut findings);
        shipments(&self.ledger, self.horizons, &mut findings);
        order_of_topics(&self.ledger, &mut findings);
        let account = account(&self.ledger, self.criteria, &mut findings);
        (findings, account)
    }

    /// The violated invariants, with the cases.
    fn broken(&self) -> Vec<(&'static str, String)> {
        let (findings, _) = self.judge();
        let of = |it: Invariant| {
            let listed = findings.of(it).violations.listed.clone();
            listed.into_iter().map(move |case| (it.id(), case.what))
        };
        Invariant::ALL.into_iter().flat_map(of).collect()
    }
}

#[test]
fn a_pending_order_is_no_violation() {
    let all = &OrderStatus::ALL[..];
    for (name, case) in [
        ("in the outbox", Case::of(PendingShipment).in_outbox(PendingShipment, false)),
        ("in the topic", Case::of(PendingShipment).published(&[PendingShipment])),
        (
            "taken",
            Case::of(PendingShipment)
                .published(&[PendingShipment])
                .consumed(Stream::Orders)
                .shipment(PendingShipment),
        ),
        (
            "reported",
            Case::of(PendingShipment)
                .published(&[PendingShipment, Shipped])
                .consumed(Stream::Orders)
                .shipment(Shipped),
        ),
        (
            "simulated before delivery-service has read the order",
            Case::of(PendingShipment).published(&[PendingShipment]).in_outbox(Shipped, false),
        ),
        ("shipped", Case::of(Shipped).published(&[PendingShipment, Shipped]).shipment(Shipped)),
        (
            "simulated, shipment behind",
            Case::of(Shipped).published(&all[..2]).shipment(PendingShipment),
        ),
    ] {
        assert_eq!(case.broken(), [], "{name}");
        assert_eq!(lost(&case.ledger), [], "{name}");
        let (_, account) = case.judge();
        assert_eq!((account.pending, account.lost), (1, 0), "{name}");
    }
}

#[test]
fn an_order_without_a_pending_event_or_step_is_lost() {
    for case in [
        // Consumed, but not applied.
        Case::of(PendingShipment)
            .published(&[PendingShipment, Shipped])
            .consumed(Stream::Deliveries)
            .shipment(Shipped),
        // The shipment has the step as reported.
        Case::of(Shipped).published(&[PendingShipment, Shipped]).shipment(Delivered),
        Case::of(PendingShipment),
    ] {
        let (findings, account) = case.judge();
        assert_eq!((account.pending, account.lost), (0, 1));
        assert_eq!(findings.of(Invariant::Account).violations.count, 1);
        assert_eq!(lost(&case.ledger), [case.id]);
    }
}

#[test]
fn events_applied_after_the_orders_were_read_are_no_violation() {
    let mut case = Case::of(PendingShipment)
        .published(&[PendingShipment, Shipped])
        .consumed(Stream::Deliveries)
        .shipment(Shipped);
    assert_eq!(lost(&case.ledger), [case.id]);
    // Shipped, and then Delivered by an event that arrived after the topics were read.
    case.ledger.set_later_status(case.id, Delivered);
    assert_eq!(case.broken(), []);
    let (findings, account) = case.judge();
    assert_eq!((account.delivered, findings.of(Invariant::Events).checked), (1, 1));
    assert_eq!(lost(&case.ledger), []);
}

#[test]
fn an_order_with_a_dead_letter_is_accounted_for() {
    let refused = Case::of(PendingShipment).in_outbox(PendingShipment, true);
    let mut dead_letter =
        Case::of(PendingShipment).published(&[PendingShipment]).consumed(Stream::Orders);
    dead_letter.ledger.add_dead_letter(dead_letter.id, Stream::Orders, None);
    let mut step_refused = Case::of(Shipped).published(&[PendingShipment, Shipped]);
    step_refused.ledger.add_shipment(&AuditedShipment {
        order_id: step_refused.id,
        state: Shipped,
        step_scheduled: false,
        refused: true,
    });
    for case in [refused, dead_letter, step_refused] {
        assert_eq!(case.broken(), []);
        assert_eq!(case.judge().1.dead_lettered, 1);
    }
}

#[test]
fn an_event_that_is_absent_and_cannot_have_expired_is_a_violation() {
    let mut case = Case::of(Delivered).published(&[Shipped]).shipment(Delivered);
    let words = [
        ("I1", "order.created is neither in its topic nor in the outbox".to_owned()),
        ("I1", "is Delivered, and order.delivered is not in its topic".to_owned()),
    ];
    assert_eq!(case.broken(), words);
    assert!(is_any_missing(&case.ledger, case.horizons));

    case.horizons.0[Stream::Orders as usize] = Some(case.id.unix_millis());
    assert_eq!(case.broken(), words[1..]);
    case.horizons.0[Stream::Deliveries as usize] = Some(i64::MAX);
    let (findings, _) = case.judge();
    let events = findings.of(Invariant::Events);
    assert_eq!((events.checked, events.not_judged, events.violations.count), (1, 2, 0));

    // A clock may have been ahead by an hour at most.
    let long_ago = case.id.unix_millis() - MAX_CLOCK_LEAD_MS - 1;
    case.horizons.0[Stream::Orders as usize] = Some(long_ago);
    assert_eq!(case.broken(), words[..1]);
}

#[test]
fn a_shipment_is_missing_once_its_event_was_consumed() {
    let taken = Case::of(PendingShipment).published(&[PendingShipment]).consumed(Stream::Orders);
    let broken = taken.broken();
    assert_eq!(broken[0].0, "I4", "{broken:?}");
    assert!(broken[0].1.contains("has no shipment"), "{broken:?}");
    // The events may have expired, but a Delivered order was shipped.
    let mut long_ago = Case::of(Delivered);
    long_ago.horizons.0 = [Some(i64::MAX); 2];
    assert_eq!(long_ago.broken()[0].0, "I4");
    // Delivered by simulation, before delivery-service has read the order.
    assert_eq!(Case::of(Delivered).published(&OrderStatus::ALL).broken(), []);
}

#[test]
fn a_shipment_cannot_be_ahead_of_its_events() {
    let case = Case::of(PendingShipment).published(&[PendingShipment]).shipment(Shipped);
    assert_eq!(
        case.broken()[0],
        ("I4", "its shipment is Shipped, and order.shipped is not in its topic".to_owned())
    );
}

#[test]
fn records_of_an_order_stay_in_one_partition_and_in_order() {
    let out_of_order =
        Case::of(Delivered).published(&[PendingShipment, Delivered, Shipped]).shipment(Delivered);
    assert_eq!(
        out_of_order.broken(),
        [("I5", "its first order.delivered comes before its first order.shipped".to_owned())]
    );
    let mut in_several_partitions =
        Case::of(Delivered).published(&OrderStatus::ALL).shipment(Delivered);
    in_several_partitions.ledger.add_record(in_several_partitions.id, Delivered, event_record(1));
    assert_eq!(
        in_several_partitions.broken(),
        [(
            "I5",
            "is in more than one partition of the topic that status-consumer reads".to_owned()
        )]
    );
}

#[test]
fn a_stuck_order_is_a_warning_and_a_pending_one_violates_drained() {
    let mut case = Case::of(PendingShipment)
        .published(&[PendingShipment])
        .consumed(Stream::Orders)
        .shipment(PendingShipment);
    // The last change was at second 1, now is second 100.
    case.criteria.stuck_after = 98_000;
    let (findings, account) = case.judge();
    assert_eq!((findings.violations(), account.stuck.count), (0, 1));
    let words = "is Pending Shipment: the next step of its shipment waits for delivery-service";
    assert_eq!(account.stuck.listed[0].what, format!("{words}, for 99 s"));

    case.criteria.stuck_after = 99_000;
    assert_eq!(case.judge().1.stuck.count, 0);
    case.criteria.stuck_after = 0;
    case.ledger.add_shipment(&AuditedShipment {
        order_id: case.id,
        state: PendingShipment,
        step_scheduled: true,
        refused: false,
    });
    assert_eq!(case.judge().1.stuck.count, 0, "the next step is not due");

    case.criteria.drained = true;
    assert_eq!(case.broken(), [("I6", words.to_owned())]);
}

#[test]
fn orders_with_the_same_key_hash_are_reported_if_the_keys_are_equal() {
    let mut ledger = Ledger::default();
    for (number, key_hash) in [(1, 10), (2, 20), (3, 10), (4, 30), (5, 30)] {
        ledger.add(&AuditedOrder { key_hash, ..bare_order(number, Delivered) });
    }
    let id = |number| OrderId::from(uuid::Uuid::from_u128(number));
    assert_eq!(key_suspects(&ledger), [1, 3, 4, 5].map(id));
    let mut findings = Findings::default();
    keys(&ledger, &HashSet::from([id(1), id(3)]), &mut findings);
    let verdict = findings.of(Invariant::Keys);
    assert_eq!((verdict.checked, verdict.violations.count), (5, 2));
}

/// The events of the order to publish again, and whether the order is skipped.
fn planned(case: &Case) -> (Vec<OrderStatus>, bool) {
    let plan = Plan::new(&case.ledger, case.horizons);
    (plan.events.into_iter().map(|(_, event)| event).collect(), plan.left.count > 0)
}

#[test]
fn no_event_of_a_pending_order_is_republished() {
    let all = &OrderStatus::ALL[..];
    // Its last step arrived after the end of the topic was read.
    let mut applied_meanwhile = Case::of(PendingShipment)
        .published(&all[..2])
        .consumed(Stream::Deliveries)
        .shipment(Shipped);
    applied_meanwhile.ledger.set_later_status(applied_meanwhile.id, Delivered);
    for case in [
        Case::of(PendingShipment).in_outbox(PendingShipment, false),
        Case::of(PendingShipment).in_outbox(PendingShipment, true),
        Case::of(PendingShipment).published(&all[..1]),
        Case::of(PendingShipment)
            .published(&all[..1])
            .consumed(Stream::Orders)
            .shipment(Shipped)
            .in_outbox(Shipped, false),
        Case::of(PendingShipment).published(&all[..2]).shipment(Shipped),
        Case::of(Delivered).published(all).shipment(Delivered),
        applied_meanwhile,
    ] {
        assert_eq!(planned(&case), (vec![], false), "{:?}", case.ledger);
    }
}

#[test]
fn lost_and_unapplied_events_are_republished_unless_an_order_would_ship_twice() {
    let all = &OrderStatus::ALL[..];
    let mut gap = Case::of(PendingShipment).published(&all[..1]).shipment(Delivered);
    gap.ledger.add_dead_letter(gap.id, Stream::Deliveries, Some(b"order.delivered"));
    let mut poison = Case::of(PendingShipment).published(&all[..1]).shipment(Delivered);
    poison.ledger.add_dead_letter(poison.id, Stream::Deliveries, Some(b"order.shipped"));
    poison.ledger.add_dead_letter(poison.id, Stream::Deliveries, Some(b"order.delivered"));
    let mut expired_gap = Case::of(PendingShipment).published(&all[..1]).shipment(Delivered);
    expired_gap.ledger.add_dead_letter(
        expired_gap.id,
        Stream::Deliveries,
        Some(b"order.delivered"),
    );
    expired_gap.horizons.0 = [None, Some(i64::MAX)];
    let mut begun_and_dead_lettered = Case::of(PendingShipment);
    begun_and_dead_lettered.ledger.add_dead_letter(
        begun_and_dead_lettered.id,
        Stream::Deliveries,
        Some(b"order.delivered"),
    );
    let mut expired_unread = Case::of(PendingShipment).shipment(Delivered);
    expired_unread.horizons.0 = [Some(i64::MAX); 2];
    for (name, case, events, is_left) in [
        ("nowhere", Case::of(PendingShipment), &all[..1], false),
        (
            "consumed, and no shipment",
            Case::of(PendingShipment).published(&all[..1]).consumed(Stream::Orders),
            &all[..1],
            false,
        ),
        ("all events are lost", Case::of(Delivered).shipment(Delivered), all, false),
        (
            "one step is lost",
            Case::of(Delivered).published(&[PendingShipment, Delivered]).shipment(Delivered),
            &[Shipped],
            false,
        ),
        (
            "consumed, and not applied",
            Case::of(Shipped).published(all).consumed(Stream::Deliveries).shipment(Delivered),
            &[Delivered],
            false,
        ),
        ("the first step is lost, so the second was dead-lettered", gap, &all[1..], false),
        ("the same, and the first one has expired", expired_gap, &all[1..], false),
        ("dead-lettered, and to be redriven", poison, &[], false),
        (
            "the first step is lost, and the second is unread",
            Case::of(PendingShipment).published(&[PendingShipment, Delivered]).shipment(Delivered),
            &all[1..],
            false,
        ),
        (
            "one step is lost that the order has taken, and the next is unread",
            Case::of(Shipped).published(&[PendingShipment, Delivered]).shipment(Delivered),
            &[Shipped],
            false,
        ),
        (
            "its first step waits in the outbox, and no shipment",
            Case::of(PendingShipment).in_outbox(Shipped, false),
            &[],
            true,
        ),
        ("a step was dead-lettered, and no shipment", begun_and_dead_lettered, &[], true),
        ("the steps have expired unread", expired_unread, &all[1..], false),
        (
            "shipped, and no shipment",
            Case::of(Shipped).published(&all[..2]).consumed(Stream::Orders),
            &[],
            true,
        ),
        (
            "about to be shipped, and no shipment",
            Case::of(PendingShipment).published(&[Shipped]),
            &[],
            true,
        ),
    ] {
        assert_eq!(planned(&case), (events.to_vec(), is_left), "{name}");
    }
}
