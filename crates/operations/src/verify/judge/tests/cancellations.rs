use domain::OrderStatus::{Cancelled, Delivered, PendingShipment, Shipped};
use store::audit::CancellationState::{Accepted, Refused, Refusing, Requested};
use store::audit::HistoryRow;
use store::rebuild::EventKind as Event;

use super::super::history::tests::order;
use super::super::*;
use super::case::Case;

const CANCELLED: [Event; 3] = [Event::Created, Event::CancellationRequested, Event::Cancelled];
const REFUSED: [Event; 5] = [
    Event::Created,
    Event::CancellationRequested,
    Event::Shipped,
    Event::Delivered,
    Event::CancellationRefused,
];

fn cancelled() -> Case {
    Case::requested(Cancelled, false).published(&CANCELLED)
}

/// A delivered order whose request is on its way to its outcome.
fn undecided() -> Case {
    Case::requested(Delivered, false).published(&REFUSED[..4]).consumed(Stream::Deliveries)
}

#[test]
fn cancelled_orders_and_refused_requests_are_no_violation() {
    let refused = Case::requested(Delivered, true).published(&REFUSED);
    for (name, case, account) in [
        ("cancelled", cancelled().cancelling(Cancelled, Accepted), (0, 1)),
        // The relay of the shipment's step has not recorded the acknowledgement.
        ("cancelled, not marked", cancelled().cancelling(PendingShipment, Accepted), (0, 1)),
        ("refused", refused.cancelling(Delivered, Refused), (1, 0)),
    ] {
        assert_eq!(case.broken(), [], "{name}");
        assert_eq!(lost(&case.ledger), [], "{name}");
        let (findings, counted) = case.judge();
        assert_eq!((counted.delivered, counted.cancelled), account, "{name}");
        assert_eq!(findings.of(Invariant::Outcome).checked, 1);
    }
}

#[test]
fn the_events_of_a_cancellation_must_be_in_their_topics() {
    let words = |event: &str| format!("{event} is neither in its topic nor in the outbox");
    let request = Case::requested(PendingShipment, false).published(&CANCELLED[..1]);
    assert_eq!(
        request.shipment(PendingShipment).broken(),
        [("I1", words("order.cancellation-requested"))]
    );
    let queued = Case::requested(PendingShipment, false).published(&CANCELLED[..1]);
    let queued = queued.in_outbox(Event::CancellationRequested, true).shipment(PendingShipment);
    assert_eq!(queued.broken(), []);

    let lost = Case::requested(Cancelled, false).published(&CANCELLED[..2]);
    let lost = lost.cancelling(Cancelled, Accepted);
    let cancelled = "is Cancelled, and order.cancelled is not in its topic";
    assert_eq!(lost.broken(), [("I1", cancelled.to_owned())]);
    assert!(is_any_missing(&lost.ledger, lost.horizons));
    let (findings, _) = lost.expired().judge();
    let events = findings.of(Invariant::Events);
    assert_eq!((events.checked, events.not_judged, events.violations.count), (2, 1, 0));

    let unrefused = Case::requested(Delivered, true).published(&REFUSED[..4]);
    let refusal =
        "a request to cancel it was refused, and order.cancellation-refused is not in its topic";
    assert_eq!(unrefused.cancelling(Delivered, Refused).broken(), [("I1", refusal.to_owned())]);
}

#[test]
fn a_cancelled_order_has_a_cancelled_shipment() {
    assert_eq!(cancelled().broken(), [("I4", "is Cancelled, and has no shipment".to_owned())]);
    let will_ship = "is Cancelled, and its shipment is Pending Shipment".to_owned();
    for shipment in
        [cancelled().shipment(PendingShipment), cancelled().cancelling(PendingShipment, Requested)]
    {
        assert_eq!(shipment.broken(), [("I4", will_ship.clone())]);
    }
}

#[test]
fn a_shipment_is_not_ahead_of_the_events_of_its_cancellation() {
    let ahead = Case::requested(PendingShipment, false).published(&CANCELLED[..2]);
    assert_eq!(
        ahead.cancelling(Cancelled, Accepted).broken()[0],
        ("I4", "its shipment is Cancelled, and order.cancelled is not in its topic".to_owned())
    );
    let words = "its shipment refused the request to cancel it, and order.cancellation-refused is not in its topic";
    assert_eq!(undecided().cancelling(Delivered, Refused).broken()[0], ("I4", words.to_owned()));
}

#[test]
fn a_consumed_request_creates_a_shipment() {
    let request = Case::requested(PendingShipment, false)
        .published(&[Event::CancellationRequested])
        .in_outbox(Event::Created, true)
        .consumed(Stream::Orders);
    let words =
        "has no shipment, though delivery-service has consumed its order.cancellation-requested";
    assert_eq!(request.broken()[0], ("I4", words.to_owned()));
}

#[test]
fn an_order_is_not_both_cancelled_and_shipped() {
    let mut both = order(Cancelled);
    both.history.push(HistoryRow { sequence: 3, ..order(Shipped).history[1] });
    let in_history = Case::of_order(&both)
        .published(&[Event::Created, Event::Cancelled, Event::Shipped])
        .cancelling(Cancelled, Accepted);
    // status-consumer has dead-lettered the second event.
    let mut in_topic = cancelled().cancelling(Cancelled, Accepted);
    in_topic.ledger.add_record_without_effect(in_topic.id, Event::Shipped);
    let mut in_topic_last = Case::of(Delivered).published(&super::DELIVERED).shipment(Delivered);
    in_topic_last.ledger.add_record_without_effect(in_topic_last.id, Event::Cancelled);
    let twice = cancelled().with_shipment(Cancelled, |it| it.shipped_and_cancelled = true);
    let accepted = Case::requested(Shipped, false).published(&REFUSED[..3]);
    for (case, words) in [
        (
            in_history,
            "cancelled in its history and its topic and its shipment, and shipped in its history and its topic",
        ),
        (
            in_topic,
            "cancelled in its history and its topic and its shipment, and shipped in its topic",
        ),
        (
            in_topic_last,
            "cancelled in its topic, and shipped in its history and its topic and its shipment",
        ),
        (
            twice,
            "cancelled in its history and its topic and its shipment, and shipped in its shipment",
        ),
        (
            cancelled().shipment(Shipped),
            "cancelled in its history and its topic, and shipped in its shipment",
        ),
        (
            accepted.cancelling(PendingShipment, Accepted),
            "cancelled in its shipment, and shipped in its history and its topic",
        ),
    ] {
        let broken = case.broken();
        assert!(broken.contains(&("I11", format!("is {words}"))), "{broken:?}");
    }
}

#[test]
fn only_a_shipped_order_is_refused() {
    let words = [("I11", "a request to cancel it was refused, and it was not shipped".to_owned())];
    let pending = |refused| Case::requested(PendingShipment, refused).published(&CANCELLED[..2]);
    for case in [
        pending(true)
            .published(&[Event::CancellationRefused])
            .cancelling(PendingShipment, Requested),
        pending(false)
            .published(&[Event::CancellationRefused])
            .cancelling(PendingShipment, Requested),
        pending(false).cancelling(PendingShipment, Refusing),
        Case::requested(Cancelled, true)
            .published(&CANCELLED)
            .published(&[Event::CancellationRefused])
            .cancelling(Cancelled, Accepted),
    ] {
        assert_eq!(case.broken(), words, "{:?}", case.ledger);
    }
    // The shipment has left, and status-consumer has applied neither event.
    let unread = pending(false).published(&[Event::Shipped, Event::CancellationRefused]);
    assert_eq!(unread.cancelling(Shipped, Refused).broken(), []);
}

#[test]
fn an_order_is_pending_until_its_request_has_an_outcome() {
    let status = "its next event waits in its topic for status-consumer";
    let relay = "its next event waits in the outbox for outbox-relay";
    let decision = "the request to cancel it waits for delivery-service";
    let step = "the next step of its shipment waits for delivery-service";
    let (requested, refused) = (Event::CancellationRequested, Event::CancellationRefused);
    let pending = || Case::requested(PendingShipment, false).published(&CANCELLED[..1]);
    let queued = |case: Case| case.in_outbox(requested, false);
    let unread = || Case::requested(Delivered, false).published(&REFUSED[..4]);
    let published = || pending().published(&[requested]);
    for (name, case, words) in [
        ("queued", queued(pending()), relay),
        ("queued, and scheduled", queued(pending()).shipment(PendingShipment), step),
        ("undecided", published().cancelling(PendingShipment, Requested), decision),
        ("accepted", published().cancelling(PendingShipment, Accepted), step),
        ("cancelled", published().published(&CANCELLED[2..]), status),
        (
            "the refused step can be cancelled",
            published().with_shipment(PendingShipment, |it| {
                (it.cancellation, it.refused) = (Some(Requested), true);
            }),
            decision,
        ),
        (
            "delivered, and its request is unread",
            unread().shipment(Delivered),
            "order.cancellation-requested waits in its topic for delivery-service",
        ),
        (
            "delivered, and its request is in the outbox",
            Case::requested(Delivered, false)
                .published(&super::DELIVERED)
                .in_outbox(requested, false)
                .shipment(Delivered),
            relay,
        ),
        ("delivered, and undecided", undecided().cancelling(Delivered, Requested), decision),
        ("delivered, and being refused", undecided().cancelling(Delivered, Refusing), step),
        (
            "delivered, and the refusal is unread",
            undecided().published(&[refused]).cancelling(Delivered, Refused),
            status,
        ),
        (
            "delivered, and the refusal is repaired",
            undecided().in_outbox(refused, false).cancelling(Delivered, Refusing),
            relay,
        ),
    ] {
        assert_eq!(case.broken(), [], "{name}");
        assert_eq!(lost(&case.ledger), [], "{name}");
        let (_, account) = case.judge();
        assert_eq!((account.pending, account.accepted()), (1, 1), "{name}");
        let mut drained = case;
        drained.criteria.drained = true;
        let broken = drained.broken();
        assert!(broken[0].0 == "I6" && broken[0].1.ends_with(words), "{name}: {broken:?}");
    }
}

#[test]
fn an_undecided_request_is_stuck_although_the_next_step_is_not_due() {
    let shipment = |cancellation| {
        let case = Case::requested(PendingShipment, false).published(&CANCELLED[..2]);
        let mut case = case.with_shipment(PendingShipment, |it| {
            (it.cancellation, it.step_scheduled) = (cancellation, true);
        });
        case.criteria.stuck_after = 0;
        case.judge().1.stuck.count
    };
    assert_eq!((shipment(Some(Requested)), shipment(None)), (1, 0));
}

#[test]
fn a_request_that_gets_no_outcome_is_lost() {
    let words = |status| {
        format!("is {status}, and no pending event or step can decide the request to cancel it")
    };
    let consumed = |case: Case| case.consumed(Stream::Orders).consumed(Stream::Deliveries);
    for (case, status) in [
        (consumed(undecided()).shipment(Delivered), Delivered),
        (
            consumed(undecided().published(&[Event::CancellationRefused]))
                .cancelling(Delivered, Refused),
            Delivered,
        ),
        (
            consumed(Case::requested(Shipped, false).published(&REFUSED[..3])).shipment(Shipped),
            Shipped,
        ),
    ] {
        assert_eq!(case.broken(), [("I6", words(status))]);
        assert_eq!((case.judge().1.lost, lost(&case.ledger)), (1, vec![case.id]));
        // The outcome arrived after the orders were read.
        let refused = case.read_again(status, true);
        assert_eq!(refused.broken(), []);
    }
}

#[test]
fn a_cancellation_with_a_dead_letter_is_accounted_for() {
    let requested = Event::CancellationRequested;
    let consumed = |case: Case| case.consumed(Stream::Orders).consumed(Stream::Deliveries);
    for case in [
        consumed(undecided()).dead_letter(requested).shipment(Delivered),
        undecided().cancelling(Delivered, Refused).dead_letter(Event::CancellationRefused),
        undecided().with_shipment(Delivered, |it| {
            (it.cancellation, it.refused) = (Some(Refusing), true);
        }),
        Case::requested(Delivered, false)
            .published(&super::DELIVERED)
            .in_outbox(requested, true)
            .shipment(Delivered),
        Case::requested(PendingShipment, false)
            .published(&CANCELLED[..2])
            .dead_letter(Event::Cancelled)
            .cancelling(Cancelled, Accepted),
    ] {
        assert_eq!(case.broken(), [], "{:?}", case.ledger);
        assert_eq!(case.judge().1.dead_lettered, 1, "{:?}", case.ledger);
        assert_eq!(lost(&case.ledger), [case.id]);
    }
}
