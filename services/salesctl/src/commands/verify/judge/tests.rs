use domain::OrderStatus::{self, Delivered, PendingShipment, Shipped};
use store::audit::{AuditedOrder, AuditedShipment, WaitingEvent};

use super::history::tests::{order, second};
use super::order as order_of_topics;
use super::*;
use crate::commands::verify::ledger::tests::{order as bare_order, sighting};

/// One order, as far as it got, and the judgement of it.
struct Case {
    ledger: Ledger,
    id: OrderId,
    horizons: Horizons,
    demands: Demands,
}

impl Case {
    fn of(status: OrderStatus) -> Self {
        let order = order(status);
        let mut ledger = Ledger::default();
        ledger.add(&order);
        let now = second(100).timestamp_millis();
        let demands = Demands { now, stuck_after: 300_000, drained: false };
        Self { ledger, id: order.id, horizons: Horizons::default(), demands }
    }

    /// The events are in their topics, ahead of their readers.
    fn published(mut self, events: &[OrderStatus]) -> Self {
        for event in events {
            self.ledger.see(self.id, *event, sighting(0));
        }
        self
    }

    fn shipment(mut self, state: OrderStatus) -> Self {
        self.ledger.ship(&AuditedShipment {
            order_id: self.id,
            state,
            on_its_way: false,
            refused: false,
        });
        self
    }

    fn in_outbox(mut self, event: OrderStatus, refused: bool) -> Self {
        let event_type = event_type(event).to_owned();
        self.ledger.wait(&WaitingEvent { order_id: self.id, event_type, refused });
        self
    }

    /// The reader of the topic is done with everything.
    fn passed(mut self, stream: Stream) -> Self {
        self.ledger.pass(stream);
        self
    }

    fn judge(&self) -> (Findings, Account) {
        let mut findings = Findings::default();
        events(&self.ledger, self.horizons, &mut findings);
        shipments(&self.ledger, self.horizons, &mut findings);
        order_of_topics(&self.ledger, &mut findings);
        let account = account(&self.ledger, self.demands, &mut findings);
        (findings, account)
    }

    /// What is violated, and how.
    fn broken(&self) -> Vec<(&'static str, String)> {
        let (findings, _) = self.judge();
        let of = |it: Invariant| {
            let told = findings.of(it).violations.told.clone();
            told.into_iter().map(move |case| (it.id(), case.what))
        };
        Invariant::ALL.into_iter().flat_map(of).collect()
    }
}

#[test]
fn every_way_to_be_on_ones_way_breaks_nothing() {
    let all = &OrderStatus::ALL[..];
    for (name, case) in [
        ("in the outbox", Case::of(PendingShipment).in_outbox(PendingShipment, false)),
        ("in the topic", Case::of(PendingShipment).published(&[PendingShipment])),
        (
            "taken",
            Case::of(PendingShipment)
                .published(&[PendingShipment])
                .passed(Stream::Orders)
                .shipment(PendingShipment),
        ),
        (
            "reported",
            Case::of(PendingShipment)
                .published(&[PendingShipment, Shipped])
                .passed(Stream::Orders)
                .shipment(Shipped),
        ),
        (
            "simulated before delivery has seen the order",
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
fn an_order_that_nothing_will_move_on_is_lost() {
    for case in [
        // Applied by nobody, though passed.
        Case::of(PendingShipment)
            .published(&[PendingShipment, Shipped])
            .passed(Stream::Deliveries)
            .shipment(Shipped),
        // The shipment says that it reported it.
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
fn what_was_applied_after_the_orders_were_read_is_neither_lost_nor_held_against_the_topics() {
    let mut case = Case::of(PendingShipment)
        .published(&[PendingShipment, Shipped])
        .passed(Stream::Deliveries)
        .shipment(Shipped);
    assert_eq!(lost(&case.ledger), [case.id]);
    // Shipped, and delivered too by an event that came after the topics were read.
    case.ledger.move_to(case.id, Delivered);
    assert_eq!(case.broken(), []);
    let (findings, account) = case.judge();
    assert_eq!((account.delivered, findings.of(Invariant::Events).checked), (1, 1));
    assert_eq!(lost(&case.ledger), []);
}

#[test]
fn what_became_a_dead_letter_is_accounted_for() {
    let refused = Case::of(PendingShipment).in_outbox(PendingShipment, true);
    let mut put_aside =
        Case::of(PendingShipment).published(&[PendingShipment]).passed(Stream::Orders);
    put_aside.ledger.put_aside(put_aside.id, Stream::Orders, None);
    let mut halted = Case::of(Shipped).published(&[PendingShipment, Shipped]);
    halted.ledger.ship(&AuditedShipment {
        order_id: halted.id,
        state: Shipped,
        on_its_way: false,
        refused: true,
    });
    for case in [refused, put_aside, halted] {
        assert_eq!(case.broken(), []);
        assert_eq!(case.judge().1.dead_lettered, 1);
    }
}

#[test]
fn an_event_that_is_nowhere_is_missing_unless_it_may_have_left_its_topic() {
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

    // A clock may have been an hour ahead, not more.
    let long_ago = case.id.unix_millis() - CLOCKS_APART - 1;
    case.horizons.0[Stream::Orders as usize] = Some(long_ago);
    assert_eq!(case.broken(), words[..1]);
}

#[test]
fn a_shipment_is_missing_once_its_event_was_passed() {
    let taken = Case::of(PendingShipment).published(&[PendingShipment]).passed(Stream::Orders);
    let broken = taken.broken();
    assert_eq!(broken[0].0, "I4", "{broken:?}");
    assert!(broken[0].1.contains("has no shipment"), "{broken:?}");
    // Nobody can tell from the topic any more, but a delivered order was shipped.
    let mut long_ago = Case::of(Delivered);
    long_ago.horizons.0 = [Some(i64::MAX); 2];
    assert_eq!(long_ago.broken()[0].0, "I4");
    // Delivered by simulation, before delivery-service has seen it.
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
fn in_a_topic_an_order_stays_in_its_partition_and_in_its_order() {
    let overtaken =
        Case::of(Delivered).published(&[PendingShipment, Delivered, Shipped]).shipment(Delivered);
    assert_eq!(
        overtaken.broken(),
        [("I5", "its first order.delivered comes before its first order.shipped".to_owned())]
    );
    let mut strayed = Case::of(Delivered).published(&OrderStatus::ALL).shipment(Delivered);
    strayed.ledger.see(strayed.id, Delivered, sighting(1));
    assert_eq!(
        strayed.broken(),
        [(
            "I5",
            "is in more than one partition of the topic that status-consumer reads".to_owned()
        )]
    );
}

#[test]
fn what_waits_for_long_is_mentioned_and_when_drained_nothing_may_wait() {
    let mut case = Case::of(PendingShipment)
        .published(&[PendingShipment])
        .passed(Stream::Orders)
        .shipment(PendingShipment);
    // The last change was at second 1, now is second 100.
    case.demands.stuck_after = 98_000;
    let (findings, account) = case.judge();
    assert_eq!((findings.violations(), account.stuck.count), (0, 1));
    let words = "is Pending Shipment: the next step of its shipment waits for delivery-service";
    assert_eq!(account.stuck.told[0].what, format!("{words}, for 99 s"));

    case.demands.stuck_after = 99_000;
    assert_eq!(case.judge().1.stuck.count, 0);
    case.demands.stuck_after = 0;
    case.ledger.ship(&AuditedShipment {
        order_id: case.id,
        state: PendingShipment,
        on_its_way: true,
        refused: false,
    });
    assert_eq!(case.judge().1.stuck.count, 0, "its time has not come");

    case.demands.drained = true;
    assert_eq!(case.broken(), [("I6", words.to_owned())]);
}

#[test]
fn orders_under_one_key_are_suspected_by_its_hash_and_named_once_confirmed() {
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

/// What is published again of the order, and whether it is left to somebody.
fn planned(case: &Case) -> (Vec<OrderStatus>, bool) {
    let plan = plan(&case.ledger, case.horizons);
    (plan.events.into_iter().map(|(_, event)| event).collect(), plan.left.count > 0)
}

#[test]
fn of_an_order_on_its_way_nothing_is_published_again() {
    let all = &OrderStatus::ALL[..];
    // Its last step came after the end of the topic was read.
    let mut applied_meanwhile =
        Case::of(PendingShipment).published(&all[..2]).passed(Stream::Deliveries).shipment(Shipped);
    applied_meanwhile.ledger.move_to(applied_meanwhile.id, Delivered);
    for case in [
        Case::of(PendingShipment).in_outbox(PendingShipment, false),
        Case::of(PendingShipment).in_outbox(PendingShipment, true),
        Case::of(PendingShipment).published(&all[..1]),
        Case::of(PendingShipment)
            .published(&all[..1])
            .passed(Stream::Orders)
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
fn what_is_missing_or_had_no_effect_is_published_again_unless_it_would_be_shipped_twice() {
    let all = &OrderStatus::ALL[..];
    let mut gap = Case::of(PendingShipment).published(&all[..1]).shipment(Delivered);
    gap.ledger.put_aside(gap.id, Stream::Deliveries, Some(b"order.delivered"));
    let mut poison = Case::of(PendingShipment).published(&all[..1]).shipment(Delivered);
    poison.ledger.put_aside(poison.id, Stream::Deliveries, Some(b"order.shipped"));
    poison.ledger.put_aside(poison.id, Stream::Deliveries, Some(b"order.delivered"));
    let mut expired_gap = Case::of(PendingShipment).published(&all[..1]).shipment(Delivered);
    expired_gap.ledger.put_aside(expired_gap.id, Stream::Deliveries, Some(b"order.delivered"));
    expired_gap.horizons.0 = [None, Some(i64::MAX)];
    let mut begun_and_put_aside = Case::of(PendingShipment);
    begun_and_put_aside.ledger.put_aside(
        begun_and_put_aside.id,
        Stream::Deliveries,
        Some(b"order.delivered"),
    );
    let mut left_unread = Case::of(PendingShipment).shipment(Delivered);
    left_unread.horizons.0 = [Some(i64::MAX); 2];
    for (name, case, events, is_left) in [
        ("nowhere", Case::of(PendingShipment), &all[..1], false),
        (
            "passed, and no shipment",
            Case::of(PendingShipment).published(&all[..1]).passed(Stream::Orders),
            &all[..1],
            false,
        ),
        ("all is lost", Case::of(Delivered).shipment(Delivered), all, false),
        (
            "one step is lost",
            Case::of(Delivered).published(&[PendingShipment, Delivered]).shipment(Delivered),
            &[Shipped],
            false,
        ),
        (
            "passed, and not applied",
            Case::of(Shipped).published(all).passed(Stream::Deliveries).shipment(Delivered),
            &[Delivered],
            false,
        ),
        ("the first step is lost, so the second was put aside", gap, &all[1..], false),
        ("the same, and the first one has expired", expired_gap, &all[1..], false),
        ("put aside, and to be sent back", poison, &[], false),
        (
            "the first step is lost, and the second is still to be read",
            Case::of(PendingShipment).published(&[PendingShipment, Delivered]).shipment(Delivered),
            &all[1..],
            false,
        ),
        (
            "one step is lost that the order has taken, and the next is still to be read",
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
        ("a step was put aside, and no shipment", begun_and_put_aside, &[], true),
        ("the steps have left their topic unread", left_unread, &all[1..], false),
        (
            "shipped by somebody, and no shipment",
            Case::of(Shipped).published(&all[..2]).passed(Stream::Orders),
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
