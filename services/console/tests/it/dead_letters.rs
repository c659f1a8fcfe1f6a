use domain::OrderId;
use reqwest::StatusCode;
use test_kit::{World, outbox_event, put_into_dead_letters};

use crate::browser::Browser;

const OUTBOX: &str = "SELECT count(*) FROM sales.outbox_events";
const WAITING: &str = "SELECT count(*) FROM sales.outbox_dead_letters
    WHERE redriven_at IS NULL AND discarded_at IS NULL";

async fn insert(world: &World, count: usize) {
    let event = |number: usize| outbox_event(world, OrderId::generate(), &number.to_string());
    let events: Vec<_> = (0..count).map(event).collect();
    put_into_dead_letters(world, &events, "too large").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_put_back_after_a_confirmation_and_recorded() {
    let world = World::create().await;
    insert(&world, 3).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters").await.field("formToken");
    let first = [("formToken", token.as_str()), ("action", "redrive")];
    let confirm = browser.post("/dead-letters", &first).await;
    assert!(
        confirm.body.contains("<strong>3 events</strong> will be put back"),
        "{}",
        confirm.body
    );
    assert_eq!(world.database.count(WAITING).await, 3);

    // Those that are dead-lettered after the count are left.
    insert(&world, 1).await;
    let newest = confirm.field("newest");
    let second = [&first[..], &[("newest", &newest)]].concat();
    assert_eq!(browser.post("/dead-letters", &second).await.status, StatusCode::SEE_OTHER);
    assert_eq!((world.database.count(OUTBOX).await, world.database.count(WAITING).await), (3, 1));
    let audit = browser.get("/audit").await.body;
    assert!(audit.contains("carol") && audit.contains("3 events were put back"), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_letter_is_discarded_with_a_reason() {
    let world = World::create().await;
    insert(&world, 2).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters/1").await.field("formToken");
    let form = [("formToken", token.as_str()), ("action", "discard"), ("id", "1")];
    let without = browser.post("/dead-letters", &form).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    assert!(without.body.contains("The reason to discard must be 1 to 200"), "{}", without.body);

    let form = [&form[..], &[("reason", "test <data>")]].concat();
    let confirm = browser.post("/dead-letters", &form).await;
    assert!(
        confirm.body.contains("<strong>1 events</strong> will be discarded"),
        "{}",
        confirm.body
    );
    let newest = confirm.field("newest");
    browser.post("/dead-letters", &[&form[..], &[("newest", &newest)]].concat()).await;
    assert_eq!(world.database.count(WAITING).await, 1);
    let shown = browser.get("/dead-letters/1").await.body;
    assert!(shown.contains("discarded") && shown.contains("test &lt;data&gt;"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_changes_nothing() {
    let world = World::create().await;
    insert(&world, 1).await;
    let browser = Browser::signed_in(&world).await;
    for token in ["", "guessed"] {
        let form = [("formToken", token), ("action", "redrive"), ("newest", "1")];
        assert_eq!(browser.post("/dead-letters", &form).await.status, StatusCode::FORBIDDEN);
    }
    let token = browser.get("/dead-letters").await.field("formToken");
    let form = [("formToken", token.as_str()), ("action", "destroy"), ("newest", "1")];
    assert_eq!(browser.post("/dead-letters", &form).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(world.database.count(WAITING).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_who_put_back_the_same_events_one_gets_each() {
    let world = World::create().await;
    insert(&world, 2_000).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters").await.field("formToken");
    let first = [("formToken", token.as_str()), ("action", "redrive")];
    let newest = browser.post("/dead-letters", &first).await.field("newest");
    let second = [&first[..], &[("newest", &newest)]].concat();
    tokio::join!(browser.post("/dead-letters", &second), browser.post("/dead-letters", &second));
    assert_eq!(
        (world.database.count(OUTBOX).await, world.database.count(WAITING).await),
        (2_000, 0)
    );
}
