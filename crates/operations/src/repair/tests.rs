use domain::OrderStatus::{Cancelled, Delivered, PendingShipment, Shipped};
use store::audit::CancellationState::{Accepted, Refused, Requested};
use store::rebuild::EventKind as Event;

use super::*;
use crate::verify::judge::tests::case::{Case, DELIVERED};
use crate::verify::ledger::Stream;

/// The events of the order to publish again, and whether the order is skipped.
fn planned(case: &Case) -> (Vec<Event>, bool) {
    let plan = Plan::new(&case.ledger, case.horizons);
    (plan.events.into_iter().map(|(_, event)| event).collect(), plan.left.count > 0)
}

#[test]
fn no_event_of_a_pending_order_is_republished() {
    let all = &DELIVERED[..];
    // Its last step arrived after the end of the topic was read.
    let applied_meanwhile = Case::of(PendingShipment)
        .published(&all[..2])
        .consumed(Stream::Deliveries)
        .shipment(Shipped)
        .read_again(Delivered, false);
    for case in [
        Case::of(PendingShipment).in_outbox(Event::Created, false),
        Case::of(PendingShipment).in_outbox(Event::Created, true),
        Case::of(PendingShipment).published(&all[..1]),
        Case::of(PendingShipment)
            .published(&all[..1])
            .consumed(Stream::Orders)
            .shipment(Shipped)
            .in_outbox(Event::Shipped, false),
        Case::of(PendingShipment).published(&all[..2]).shipment(Shipped),
        Case::of(Delivered).published(all).shipment(Delivered),
        applied_meanwhile,
    ] {
        assert_eq!(planned(&case), (vec![], false), "{:?}", case.ledger);
    }
}

#[test]
fn lost_and_unapplied_events_are_republished_unless_an_order_would_ship_twice() {
    let all = &DELIVERED[..];
    let shipped_unread = || Case::of(PendingShipment).published(&all[..1]).shipment(Delivered);
    let gap = || shipped_unread().dead_letter(Event::Delivered);
    let poison = shipped_unread().dead_letter(Event::Shipped).dead_letter(Event::Delivered);
    let mut expired_gap = gap();
    expired_gap.horizons.0 = [None, Some(i64::MAX)];
    let begun_and_dead_lettered = Case::of(PendingShipment).dead_letter(Event::Delivered);
    let expired_unread = Case::of(PendingShipment).shipment(Delivered).expired();
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
            Case::of(Delivered).published(&[Event::Created, Event::Delivered]).shipment(Delivered),
            &[Event::Shipped],
            false,
        ),
        (
            "consumed, and not applied",
            Case::of(Shipped).published(all).consumed(Stream::Deliveries).shipment(Delivered),
            &[Event::Delivered],
            false,
        ),
        ("the first step is lost, so the second was dead-lettered", gap(), &all[1..], false),
        ("the same, and the first one has expired", expired_gap, &all[1..], false),
        ("dead-lettered, and to be redriven", poison, &[], false),
        (
            "the first step is lost, and the second is unread",
            Case::of(PendingShipment)
                .published(&[Event::Created, Event::Delivered])
                .shipment(Delivered),
            &all[1..],
            false,
        ),
        (
            "one step is lost that the order has taken, and the next is unread",
            Case::of(Shipped).published(&[Event::Created, Event::Delivered]).shipment(Delivered),
            &[Event::Shipped],
            false,
        ),
        (
            "its first step waits in the outbox, and no shipment",
            Case::of(PendingShipment).in_outbox(Event::Shipped, false),
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
            Case::of(PendingShipment).published(&[Event::Shipped]),
            &[],
            true,
        ),
    ] {
        assert_eq!(planned(&case), (events.to_vec(), is_left), "{name}");
    }
}

const CANCELLED: [Event; 3] = [Event::Created, Event::CancellationRequested, Event::Cancelled];
const REFUSED: [Event; 5] = [
    Event::Created,
    Event::CancellationRequested,
    Event::Shipped,
    Event::CancellationRefused,
    Event::Delivered,
];

#[test]
fn no_event_of_a_cancellation_on_its_way_is_republished() {
    let (requested, refused) = (Event::CancellationRequested, Event::CancellationRefused);
    let pending = || Case::requested(PendingShipment, false);
    // The request was refused after the end of the topic was read.
    let refused_meanwhile = Case::requested(Shipped, false)
        .published(&REFUSED[..4])
        .consumed(Stream::Deliveries)
        .cancelling(Shipped, Refused)
        .read_again(Shipped, true);
    for case in [
        pending().in_outbox(Event::Created, false).in_outbox(requested, false),
        pending().published(&DELIVERED[..1]).in_outbox(requested, true),
        pending().published(&CANCELLED[..2]).shipment(PendingShipment),
        pending().published(&CANCELLED[..2]).cancelling(PendingShipment, Requested),
        pending().published(&CANCELLED[..2]).cancelling(PendingShipment, Accepted),
        pending().published(&CANCELLED).cancelling(Cancelled, Accepted),
        Case::requested(Cancelled, false).published(&CANCELLED).cancelling(Cancelled, Accepted),
        Case::requested(Shipped, false).published(&REFUSED[..4]).cancelling(Shipped, Refused),
        Case::requested(Shipped, false)
            .published(&REFUSED[..3])
            .cancelling(Shipped, Refused)
            .in_outbox(refused, false),
        Case::requested(Delivered, true).published(&REFUSED).cancelling(Delivered, Refused),
        refused_meanwhile,
    ] {
        assert_eq!(planned(&case), (vec![], false), "{:?}", case.ledger);
    }
}

#[test]
fn lost_events_of_cancellations_are_republished_in_their_order() {
    let pending = || Case::requested(PendingShipment, false);
    let consumed = |case: Case| case.consumed(Stream::Orders).consumed(Stream::Deliveries);
    for (name, case, events) in [
        ("nowhere", pending(), &CANCELLED[..2]),
        (
            "the request is lost",
            pending().published(&CANCELLED[..1]).shipment(PendingShipment),
            &CANCELLED[1..2],
        ),
        (
            "the request was consumed, and the shipment does not have it",
            consumed(pending().published(&CANCELLED[..2])).shipment(PendingShipment),
            &CANCELLED[1..2],
        ),
        (
            "all events of a cancelled order are lost",
            Case::requested(Cancelled, false).cancelling(Cancelled, Accepted),
            &CANCELLED,
        ),
        (
            "order.cancelled has expired unread",
            pending().cancelling(Cancelled, Accepted).expired(),
            &CANCELLED[2..],
        ),
        (
            "a cancelled order is scheduled again, and the shipment does not have the request",
            consumed(Case::requested(Cancelled, false).published(&CANCELLED))
                .shipment(PendingShipment),
            &CANCELLED[1..2],
        ),
        (
            "all events of a refused request are lost",
            Case::requested(Delivered, true).cancelling(Delivered, Refused),
            &REFUSED,
        ),
        (
            "only the refusal is lost, and nothing was applied",
            consumed(Case::requested(Shipped, false).published(&REFUSED[..3]))
                .cancelling(Shipped, Refused),
            &REFUSED[3..4],
        ),
        (
            "the refusal was consumed, and not applied",
            consumed(Case::requested(Shipped, false).published(&REFUSED[..4]))
                .cancelling(Shipped, Refused),
            &REFUSED[3..4],
        ),
        (
            "the request was consumed after shipping, and the shipment does not have it",
            consumed(Case::requested(Shipped, false).published(&REFUSED[..3])).shipment(Shipped),
            &REFUSED[1..2],
        ),
    ] {
        assert_eq!(planned(&case), (events.to_vec(), false), "{name}");
    }
}

#[test]
fn no_request_is_republished_that_would_cancel_a_shipped_order() {
    let consumed = |case: Case| case.consumed(Stream::Orders).consumed(Stream::Deliveries);
    for (name, case) in [
        (
            "its shipment is behind",
            Case::requested(Shipped, false)
                .published(&[Event::Created, Event::Shipped])
                .shipment(PendingShipment),
        ),
        (
            "its shipment is lost",
            consumed(Case::requested(Shipped, false).published(&REFUSED[..3])),
        ),
        (
            "its step was published and not applied",
            Case::requested(PendingShipment, false)
                .published(&[Event::Created, Event::Shipped])
                .shipment(PendingShipment),
        ),
        (
            "cancelled, and its shipment is lost",
            consumed(Case::requested(Cancelled, false).published(&CANCELLED)),
        ),
    ] {
        assert_eq!(planned(&case), (vec![], true), "{name}");
    }
}

#[test]
fn an_order_whose_cancellation_waits_for_a_redrive_is_counted() {
    let request = Case::requested(PendingShipment, false)
        .published(&CANCELLED[..2])
        .consumed(Stream::Orders)
        .dead_letter(Event::CancellationRequested)
        .shipment(PendingShipment);
    let refusal = Case::requested(Shipped, false)
        .published(&REFUSED[..3])
        .dead_letter(Event::CancellationRefused)
        .cancelling(Shipped, Refused);
    let cancelled = Case::requested(PendingShipment, false)
        .published(&CANCELLED[..2])
        .dead_letter(Event::Cancelled)
        .cancelling(Cancelled, Accepted);
    for case in [request, refusal, cancelled] {
        let plan = Plan::new(&case.ledger, case.horizons);
        assert_eq!((plan.events.len(), plan.dead_lettered), (0, 1), "{:?}", case.ledger);
    }
}
