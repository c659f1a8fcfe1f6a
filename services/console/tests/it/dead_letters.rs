use domain::OrderId;
use reqwest::StatusCode;
use test_kit::{World, eventually, is_ready, outbox_event, put_into_dead_letters, until_ready};

use uuid::Uuid;

use crate::browser::{Browser, Page};

const OUTBOX: &str = "SELECT count(*) FROM sales.outbox_events";
const WAITING: &str = "SELECT count(*) FROM sales.outbox_dead_letters
    WHERE redriven_at IS NULL AND discarded_at IS NULL";

async fn insert(world: &World, count: usize) {
    let event = |number: usize| outbox_event(world, OrderId::generate(), &number.to_string());
    let events: Vec<_> = (0..count).map(event).collect();
    put_into_dead_letters(world, &events, "too large").await;
}

/// The page of the first step.
async fn confirm(browser: &Browser, first: &[(&str, &str)]) -> Page {
    let page = browser.post("/dead-letters", first).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    page
}

/// The page of the audit list as soon as it has these words.
async fn audited(browser: &Browser, words: &str) -> String {
    eventually(words, async || {
        let page = browser.get("/audit").await.body;
        page.contains(words).then_some(page)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_redriven_after_a_confirmation_and_recorded() {
    let world = World::create().await;
    insert(&world, 3).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters").await.field("formToken");
    let first = [("formToken", token.as_str()), ("action", "redrive"), ("scope", "filter")];
    let page = confirm(&browser, &first).await;
    assert!(page.body.contains("<strong>3 events</strong> will be redriven"), "{}", page.body);
    assert_eq!(world.database.count(WAITING).await, 3);

    // Those that are dead-lettered after the count are left.
    insert(&world, 1).await;
    let action = browser.confirm(&page).await;
    // Sent twice, the form starts one action.
    assert_eq!(browser.confirm(&page).await.location(), action.location());
    let audit = audited(&browser, "3 events were redriven").await;
    assert!(audit.contains("carol") && audit.contains("redrive outbox"), "{audit}");
    assert_eq!((world.database.count(OUTBOX).await, world.database.count(WAITING).await), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_events_are_changed_than_were_confirmed() {
    let world = World::create().await;
    insert(&world, 5).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters").await.field("formToken");
    let form = [("formToken", token.as_str()), ("action", "redrive"), ("scope", "filter")];
    let request = Uuid::new_v4().to_string();
    let more = [("newest", "9223372036854775807"), ("count", "2"), ("request", request.as_str())];
    browser.post("/dead-letters", &[&form[..], &more].concat()).await;
    audited(&browser, "2 events were redriven").await;
    assert_eq!(world.database.count(WAITING).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_dead_letter_is_discarded_with_a_reason() {
    let world = World::create().await;
    insert(&world, 2).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters/1").await.field("formToken");
    let form =
        [("formToken", token.as_str()), ("action", "discard"), ("scope", "one"), ("id", "1")];
    let without = browser.post("/dead-letters", &form).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    assert!(without.body.contains("The reason to discard must be 1 to 200"), "{}", without.body);

    let form = [&form[..], &[("reason", "test <data>")]].concat();
    let page = confirm(&browser, &form).await;
    assert!(page.body.contains("<strong>1 event</strong> will be discarded"), "{}", page.body);
    browser.confirm(&page).await;
    audited(&browser, "1 events were discarded").await;
    assert_eq!(world.database.count(WAITING).await, 1);
    let bytes = browser.get("/dead-letters/1/value").await;
    assert_eq!(bytes.body, "0");
    assert_eq!(bytes.headers["content-type"], "application/octet-stream");
    assert_eq!(bytes.headers["content-disposition"], "attachment; filename=\"outbox-1.value\"");
    assert_eq!(browser.get("/dead-letters/17/value").await.status, StatusCode::NOT_FOUND);
    let shown = browser.get("/dead-letters/1").await.body;
    assert!(shown.contains("discarded") && shown.contains("test &lt;data&gt;"), "{shown}");
    assert_eq!(browser.get("/dead-letters/17").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_not_ours_or_not_clear_changes_nothing() {
    let world = World::create().await;
    insert(&world, 1).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters").await.field("formToken");
    let form = |token, action, scope| {
        [
            ("formToken", token),
            ("action", action),
            ("scope", scope),
            ("newest", "1"),
            ("count", "1"),
            ("request", "01990000-0000-7000-8000-000000000001"),
        ]
    };
    for guessed in ["", "guessed"] {
        let page = browser.post("/dead-letters", &form(guessed, "redrive", "filter")).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    let other_site = browser.posting("/dead-letters", &form(&token, "redrive", "filter"));
    let page = browser.send(other_site.header("sec-fetch-site", "cross-site")).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let other_site = browser.posting("/dead-letters", &form(&token, "redrive", "filter"));
    let page = browser.send(other_site.header("origin", "http://example.org")).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    // One dead letter without its id is not all of them.
    for (action, scope) in [("destroy", "filter"), ("redrive", ""), ("redrive", "one")] {
        let page = browser.post("/dead-letters", &form(&token, action, scope)).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{action} {scope}");
    }
    let stranger = Browser::open(&world);
    let page = stranger.post("/dead-letters", &form(&token, "redrive", "filter")).await;
    assert_eq!(page.location(), "/sign-in?next=%2F");
    assert_eq!(world.database.count(WAITING).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_who_redrive_the_same_events_one_gets_each() {
    let world = World::create().await;
    insert(&world, 2_000).await;
    let browsers =
        [Browser::signed_in_as(&world, "carol").await, Browser::signed_in_as(&world, "dave").await];
    let act = async |browser: &Browser| {
        let token = browser.get("/dead-letters").await.field("formToken");
        let first = [("formToken", token.as_str()), ("action", "redrive"), ("scope", "filter")];
        let page = confirm(browser, &first).await;
        assert_eq!(browser.confirm(&page).await.status, StatusCode::SEE_OTHER);
    };
    tokio::join!(act(&browsers[0]), act(&browsers[1]));
    let finished = "SELECT count(*) FROM sales.operator_actions WHERE finished_at IS NOT NULL";
    world.database.until_count("both have ended", finished, 2).await;
    assert_eq!(
        (world.database.count(OUTBOX).await, world.database.count(WAITING).await),
        (2_000, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_stops_with_the_console_after_its_batch_and_is_recorded() {
    let world = World::create().await;
    insert(&world, 2_000).await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/dead-letters").await.field("formToken");
    let first = [("formToken", token.as_str()), ("action", "redrive"), ("scope", "filter")];
    let page = confirm(&browser, &first).await;
    // The third batch of 500 waits for this row.
    let row = "SELECT FROM sales.outbox_dead_letters WHERE id = 1200 FOR UPDATE";
    let held = world.database.begin(row).await;
    let management = browser.service.management_port();
    until_ready(management).await;
    browser.confirm(&page).await;
    world.database.until_a_statement_waits_for_a_lock().await;
    let release = async {
        eventually("the console is stopping", async || (!is_ready(management).await).then_some(()))
            .await;
        held.commit().await;
    };
    tokio::join!(browser.service.stop(), release);
    assert_eq!(
        (world.database.count(OUTBOX).await, world.database.count(WAITING).await),
        (1_500, 500)
    );
    let outcome = world.database.query("SELECT outcome FROM sales.operator_actions").await;
    assert_eq!(outcome[0].get::<_, String>(0), "stopped: 1500 events were redriven");
}
