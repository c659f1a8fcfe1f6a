//! One violation is planted in the evidence, and exactly that is reported.

use std::collections::BTreeSet;
use std::time::Duration;

use fault_suite::check::{Violation, check};
use fault_suite::evidence::{Event, Evidence, Step};
use fault_suite::journal::{Answer, Change, Entry, Journal, Request};
use fault_suite::load::{Client, Followers, SUBJECTS};
use fault_suite::run::until_followed;
use test_kit::eventually;
use uuid::Uuid;

use crate::real_run::{evidence, fleet};

/// An order with this status. If it is delivered, nobody wanted to cancel it.
fn order_that_is(evidence: &Evidence, status: &str) -> Uuid {
    let Evidence { database, .. } = evidence;
    let with_status = database.orders.iter().filter(|order| order.status == status);
    let requested = |order: Uuid| database.cancellations.iter().any(|row| row.order == order);
    let mut ids = with_status.map(|order| order.id);
    ids.find(|order| requested(*order) == (status == "Cancelled")).unwrap()
}

/// Checks that one invariant is violated, by one order, and that its history is shown.
#[track_caller]
fn assert_only(evidence: &Evidence, invariant: u8, order: Uuid) {
    let violations = check(evidence);
    let found: BTreeSet<_> = violations.iter().map(|it| (it.invariant, it.order)).collect();
    assert_eq!(found, BTreeSet::from([(invariant, Some(order))]), "{violations:#?}");
    for source in ["client", "database", "topic"] {
        let history = violations.iter().flat_map(|violation| &violation.history);
        assert!(history.into_iter().any(|line| line.starts_with(source)), "{violations:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_order_whose_event_is_in_no_topic_is_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Delivered");
    evidence.topics.orders.retain(|event| event.order != Some(order));
    assert_only(&evidence, 1, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_an_order_is_found() {
    let mut evidence = evidence().await;
    let mut event = evidence.topics.orders[0].clone();
    let order = Uuid::new_v4();
    (event.order, event.record.key) = (Some(order), Some(order.to_string().into_bytes()));
    event.record.offset = 1_000_000;
    evidence.topics.orders.push(event);
    let violations = check(&evidence);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert_eq!((violations[0].invariant, violations[0].order), (2, Some(order)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_with_other_bytes_is_found() {
    let mut evidence = evidence().await;
    let is_replay = |entry: &&mut Entry| !entry.is_load && entry.answer.status() == Some(201);
    let entry = evidence.clients.entries.iter_mut().find(is_replay).unwrap();
    let order = entry.answer.order().unwrap();
    let Answer::Response { body, .. } = &mut entry.answer else { panic!("no response") };
    body.push(' ');
    assert_only(&evidence, 3, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duplicated_history_row_is_found() {
    let mut evidence = evidence().await;
    let step = evidence.database.history.last().unwrap().clone();
    let order = step.order;
    evidence.database.history.push(step);
    assert_only(&evidence, 4, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_shipment_is_found() {
    let mut evidence = evidence().await;
    let shipment = evidence.database.shipments[0].clone();
    let order = shipment.order;
    evidence.database.shipments.push(shipment);
    assert_only(&evidence, 4, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_events_are_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Delivered");
    let deliveries = &mut evidence.topics.deliveries;
    let place = |kind: &str, all: &[Event]| {
        all.iter().position(|it| it.order == Some(order) && it.event_type == kind).unwrap()
    };
    let (shipped, delivered) =
        (place("order.shipped", deliveries), place("order.delivered", deliveries));
    let offset = deliveries[shipped].record.offset;
    deliveries[shipped].record.offset = deliveries[delivered].record.offset;
    deliveries[delivered].record.offset = offset;
    assert_only(&evidence, 5, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_order_is_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Delivered");
    let row = evidence.database.orders.iter_mut().find(|row| row.id == order).unwrap();
    row.status = "Shipped".to_owned();
    assert_only(&evidence, 6, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_dead_letter_is_found() {
    let mut evidence = evidence().await;
    evidence.topics.dead_deliveries.clear();
    let violations = check(&evidence);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert_eq!(violations[0].invariant, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_that_is_not_whole_is_found() {
    let mut evidence = evidence().await;
    evidence.topics.dead_deliveries[0].key = None;
    let violations = check(&evidence);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert_eq!(violations[0].invariant, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_of_a_good_record_is_found() {
    let mut evidence = evidence().await;
    evidence.poison.clear();
    let violations = check(&evidence);
    let invariants: BTreeSet<u8> = violations.iter().map(|it| it.invariant).collect();
    assert!(invariants.contains(&6), "{violations:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_stays_unknown_is_found() {
    let mut evidence = evidence().await;
    evidence.clients.entries.push(Entry {
        subject: SUBJECTS[0].to_owned(),
        request: Request::Create { key: "lost".to_owned(), body: String::new() },
        is_first: true,
        is_load: true,
        sent: Duration::ZERO,
        answered: Duration::ZERO,
        answer: Answer::Unknown("timeout".to_owned()),
    });
    let violations = check(&evidence);
    assert_eq!(violations.len(), 1, "{violations:#?}");
    assert_eq!(violations[0].invariant, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_read_is_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Delivered");
    let owner = &evidence.clients.accepted()[&order].subject;
    let other = SUBJECTS.into_iter().find(|subject| subject != owner).unwrap();
    evidence.clients.entries.push(Entry {
        subject: other.to_owned(),
        request: Request::Read(order),
        is_first: true,
        is_load: true,
        sent: Duration::from_hours(1),
        answered: Duration::from_hours(1),
        answer: Answer::Response { status: 304, retry_after: false, body: String::new() },
    });
    assert_only(&evidence, 10, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_both_cancelled_and_shipped_is_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Cancelled");
    let owner = evidence.clients.accepted()[&order].subject.clone();
    // Database, topic and feed agree: it was shipped after it was cancelled.
    let (event, status) = (Uuid::new_v4(), "Shipped".to_owned());
    let position = evidence.database.history.last().unwrap().position + 1;
    let step = Step { order, sequence: 3, status: status.clone(), event, position };
    evidence.database.history.push(step);
    let of_order = |event: &&Event| event.order == Some(order);
    let mut shipped = evidence.topics.deliveries.iter().find(of_order).unwrap().clone();
    (shipped.id, shipped.event_type) = (Some(event), "order.shipped".to_owned());
    shipped.record.offset += 1_000_000;
    evidence.topics.deliveries.push(shipped);
    let change = Change { order, sequence: 3, status, received: Duration::from_hours(1) };
    evidence.clients.feeds.get_mut(&owner).unwrap().push(change);
    assert_only(&evidence, 11, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_false_answer_to_a_cancellation_is_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Cancelled");
    let is_cancel = |entry: &&mut Entry| entry.request == Request::Cancel(order);
    let mut entries = evidence.clients.entries.iter_mut().filter(is_cancel);
    let answer = &mut entries.find(|entry| entry.answer.order().is_some()).unwrap().answer;
    *answer = Answer::Response { status: 409, retry_after: false, body: String::new() };
    assert_only(&evidence, 11, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_missing_in_the_feed_is_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Delivered");
    for changes in evidence.clients.feeds.values_mut() {
        changes.retain(|change| change.order != order || change.sequence != 2);
    }
    assert_only(&evidence, 12, order);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_feed_shows_again_is_found() {
    let mut evidence = evidence().await;
    let order = order_that_is(&evidence, "Delivered");
    let of_owner = evidence.clients.feeds.values_mut();
    for changes in of_owner.filter(|it| it.iter().any(|change| change.order == order)) {
        let again = changes.iter().find(|change| change.order == order).unwrap().clone();
        changes.push(again);
    }
    assert_only(&evidence, 12, order);
}

/// The row is deleted in the database, before a relay publishes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_outbox_row_is_found() {
    let mut fleet = fleet().await;
    fleet.pause_all("outbox-relay");
    let journal = Journal::begin();
    let followers = Followers::start(&fleet.url(), &journal);
    let client = Client::for_checks(&fleet.url(), &journal);
    let body =
        r#"{"customerId":"customer-1","items":[{"productId":"widget","quantity":1,"price":1}]}"#;
    let create = |key: &str| Request::Create { key: key.to_owned(), body: body.to_owned() };
    let lost = client.send(SUBJECTS[0], create("key-1")).await.order().unwrap();
    client.send(SUBJECTS[0], create("key-2")).await.order().unwrap();
    let database = &fleet.world.database;
    let delete = format!("DELETE FROM sales.outbox_events WHERE aggregate_id = '{lost}'");
    database.execute(&delete).await;
    fleet.resume_all("outbox-relay");
    let delivered = "SELECT count(*) FROM sales.orders WHERE status = 'Delivered'";
    eventually("the other order is delivered", async || {
        (fleet.world.database.count(delivered).await == 1).then_some(())
    })
    .await;
    until_followed(&fleet, &journal).await;
    followers.end().await;
    let violations = check(&Evidence::gather(&fleet.world, &journal, Vec::new()).await);
    let found = |violation: &Violation| (violation.invariant, violation.order);
    // It is in no topic, so it has no shipment, and stays pending.
    let lost = |invariant: u8| (invariant, Some(lost));
    let expected = BTreeSet::from([lost(1), lost(4), lost(6)]);
    assert_eq!(violations.iter().map(found).collect::<BTreeSet<_>>(), expected, "{violations:#?}");
}
