mod cancellations;
pub(crate) mod case;

use domain::OrderStatus::{Delivered, PendingShipment, Shipped};
use store::audit::AuditedOrder;
use store::rebuild::EventKind as Event;

use self::case::{Case, DELIVERED};
use super::*;
use crate::verify::ledger::tests::{event_record, order as bare_order};

#[test]
fn a_pending_order_is_no_violation() {
    for (name, case) in [
        ("in the outbox", Case::of(PendingShipment).in_outbox(Event::Created, false)),
        ("in the topic", Case::of(PendingShipment).published(&[Event::Created])),
        (
            "taken",
            Case::of(PendingShipment)
                .published(&[Event::Created])
                .consumed(Stream::Orders)
                .shipment(PendingShipment),
        ),
        (
            "reported",
            Case::of(PendingShipment)
                .published(&[Event::Created, Event::Shipped])
                .consumed(Stream::Orders)
                .shipment(Shipped),
        ),
        (
            "simulated before delivery-service has read the order",
            Case::of(PendingShipment).published(&[Event::Created]).in_outbox(Event::Shipped, false),
        ),
        (
            "shipped",
            Case::of(Shipped).published(&[Event::Created, Event::Shipped]).shipment(Shipped),
        ),
        (
            "simulated, shipment behind",
            Case::of(Shipped).published(&DELIVERED[..2]).shipment(PendingShipment),
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
            .published(&[Event::Created, Event::Shipped])
            .consumed(Stream::Deliveries)
            .shipment(Shipped),
        // The shipment has the step as reported.
        Case::of(Shipped).published(&[Event::Created, Event::Shipped]).shipment(Delivered),
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
    let case = Case::of(PendingShipment)
        .published(&[Event::Created, Event::Shipped])
        .consumed(Stream::Deliveries)
        .shipment(Shipped);
    assert_eq!(lost(&case.ledger), [case.id]);
    // Shipped, and then Delivered by an event that arrived after the topics were read.
    let case = case.read_again(Delivered, false);
    assert_eq!(case.broken(), []);
    let (findings, account) = case.judge();
    assert_eq!((account.delivered, findings.of(Invariant::Events).checked), (1, 1));
    assert_eq!(lost(&case.ledger), []);
}

#[test]
fn an_order_with_a_dead_letter_is_accounted_for() {
    let refused = Case::of(PendingShipment).in_outbox(Event::Created, true);
    let mut dead_letter =
        Case::of(PendingShipment).published(&[Event::Created]).consumed(Stream::Orders);
    dead_letter.ledger.add_dead_letter(dead_letter.id, Stream::Orders, None);
    let step_refused = Case::of(Shipped)
        .published(&[Event::Created, Event::Shipped])
        .with_shipment(Shipped, |shipment| shipment.refused = true);
    for case in [refused, dead_letter, step_refused] {
        assert_eq!(case.broken(), []);
        assert_eq!(case.judge().1.dead_lettered, 1);
    }
}

#[test]
fn an_event_that_is_absent_and_cannot_have_expired_is_a_violation() {
    let mut case = Case::of(Delivered).published(&[Event::Shipped]).shipment(Delivered);
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
    let taken = Case::of(PendingShipment).published(&[Event::Created]).consumed(Stream::Orders);
    let broken = taken.broken();
    assert_eq!(broken[0].0, "I4", "{broken:?}");
    assert!(broken[0].1.contains("has no shipment"), "{broken:?}");
    // The events may have expired, but a Delivered order was shipped.
    assert_eq!(Case::of(Delivered).expired().broken()[0].0, "I4");
    // Delivered by simulation, before delivery-service has read the order.
    assert_eq!(Case::of(Delivered).published(&DELIVERED).broken(), []);
}

#[test]
fn a_shipment_cannot_be_ahead_of_its_events() {
    let case = Case::of(PendingShipment).published(&[Event::Created]).shipment(Shipped);
    assert_eq!(
        case.broken()[0],
        ("I4", "its shipment is Shipped, and order.shipped is not in its topic".to_owned())
    );
}

#[test]
fn records_of_an_order_stay_in_one_partition_and_in_order() {
    let out_of_order = Case::of(Delivered)
        .published(&[Event::Created, Event::Delivered, Event::Shipped])
        .shipment(Delivered);
    assert_eq!(
        out_of_order.broken(),
        [("I5", "its first order.delivered comes before its first order.shipped".to_owned())]
    );
    let mut in_several_partitions = Case::of(Delivered).published(&DELIVERED).shipment(Delivered);
    in_several_partitions.ledger.add_record(
        in_several_partitions.id,
        Event::Delivered,
        event_record(1),
    );
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
        .published(&[Event::Created])
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
    let mut case = case.with_shipment(PendingShipment, |shipment| shipment.step_scheduled = true);
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
