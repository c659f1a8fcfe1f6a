//! The dead letters of a consumer group.

use domain::OrderId;
use messaging::Record;
use messaging::dead_letter::{DeadLetterReason, DeadLetters};
use reqwest::StatusCode;
use test_kit::{World, eventually, read_all};

use crate::browser::{Browser, Page};

const SCRIPT: &str = "<script>alert(1)</script>";

/// Dead-letters a record with this key for this class, as status-consumer does.
pub(crate) async fn dead_letter(world: &World, key: &str, class: &'static str, value: &[u8]) {
    let topics = &world.topics;
    let letters =
        DeadLetters::new(&world.config(), &topics.delivery_events, &topics.status_group).unwrap();
    let record = Record {
        topic: topics.delivery_events.clone(),
        partition: 1,
        offset: 17,
        timestamp_ms: Some(1_700_000_000_000),
        key: Some(key.as_bytes().to_vec()),
        value: Some(value.to_vec()),
        headers: vec![(SCRIPT.to_owned(), Some(SCRIPT.as_bytes().to_vec()))],
    };
    let message = format!("because of {SCRIPT}");
    let reason = DeadLetterReason { class, message, quotes_record: false };
    letters.store(&record, &reason).await.unwrap();
}

fn path(world: &World) -> String {
    format!("/dead-letters/topics/{}", world.topics.delivery_events_dlq())
}

/// The page of the first step.
async fn first_step(browser: &Browser, path: &str, fields: &[(&str, &str)]) -> Page {
    let token = browser.get(path).await.field("formToken");
    browser.post(path, &[&[("formToken", token.as_str())], fields].concat()).await
}

/// The keys of the records that were sent back.
async fn redriven(world: &World) -> Vec<String> {
    let records = read_all(&world.stack, &world.topics.delivery_events).await;
    let mut keys: Vec<_> =
        records.into_iter().map(|it| String::from_utf8(it.key.unwrap()).unwrap()).collect();
    keys.sort();
    keys
}

async fn ended(browser: &Browser, action: &Page, words: &str) {
    eventually(words, async || {
        browser.get(action.location()).await.body.contains(words).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_filtered_and_redriven_after_a_confirmation() {
    let world = World::create().await;
    let order = OrderId::generate().to_string();
    for (key, class) in [(order.as_str(), "status-gap"), ("b", "tombstone"), ("c", "status-gap")] {
        dead_letter(&world, key, class, b"{}").await;
    }
    let (browser, path) = (Browser::signed_in(&world).await, path(&world));
    let list = browser.get("/dead-letters").await.body;
    assert!(list.contains(&path) && list.contains("<td class=\"number\">3</td>"), "{list}");
    let rows = async |query: &str| {
        let page = browser.get(&format!("{path}?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert!(!page.body.contains(SCRIPT), "{}", page.body);
        page.body.matches("<td>waits</td>").count()
    };
    assert_eq!(rows("").await, 3);
    assert_eq!(rows("class=status-gap").await, 2);
    assert_eq!(rows(&format!("order={order}")).await, 1);
    assert_eq!(rows("partition=0&from=2").await, 1);
    assert_eq!(browser.get(&format!("{path}?order=17")).await.status, StatusCode::BAD_REQUEST);

    let fields = [("action", "redrive"), ("scope", "filter"), ("class", "status-gap")];
    let page = first_step(&browser, &path, &fields).await;
    assert!(page.body.contains("<strong>2 records</strong> will be redriven"), "{}", page.body);
    assert!(redriven(&world).await.is_empty());
    // Those that are dead-lettered after the count are left.
    dead_letter(&world, "later", "status-gap", b"{}").await;
    let action = browser.confirm(&page).await;
    assert_eq!(action.status, StatusCode::SEE_OTHER, "{}", action.body);
    ended(&browser, &action, "2 records were redriven").await;
    assert_eq!(browser.confirm(&page).await.location(), action.location());
    let mut expected = [order, "c".to_owned()];
    expected.sort();
    assert_eq!(redriven(&world).await, expected);
    let audit = browser.get("/audit").await.body;
    assert!(audit.contains("redrive dead letters") && audit.contains("carol"), "{audit}");
    assert_eq!(rows("").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_is_shown_downloaded_and_discarded_with_a_reason() {
    let world = World::create().await;
    let value = format!("{{\"a\":\"{SCRIPT}\"}}");
    dead_letter(&world, "a", "panic", value.as_bytes()).await;
    dead_letter(&world, "b", "panic", &[0xff, 0, 1]).await;
    let (browser, path) = (Browser::signed_in(&world).await, path(&world));
    let page = browser.get(&format!("{path}/0/0")).await;
    assert!(!page.body.contains(SCRIPT), "{}", page.body);
    assert!(
        page.body.contains("dlq-error-class") && page.body.contains("&lt;script&gt;"),
        "{}",
        page.body
    );
    let bytes = browser.send_raw(browser.request_to(&format!("{path}/0/1/value"))).await;
    assert_eq!(bytes, [0xff, 0, 1]);
    let key = browser.get(&format!("{path}/0/1/key")).await;
    assert_eq!(key.body, "b");
    assert_eq!(key.headers["content-type"], "application/octet-stream");
    assert!(browser.get(&format!("{path}/0/1")).await.body.contains("base64:/wAB"));
    for missing in [
        format!("{path}/0/99"),
        format!("{path}/0/99/value"),
        "/dead-letters/topics/other.x.dlq".to_owned(),
    ] {
        assert_eq!(browser.get(&missing).await.status, StatusCode::NOT_FOUND, "{missing}");
    }

    let place = [("scope", "one"), ("partition", "0"), ("offset", "1"), ("action", "discard")];
    let without = first_step(&browser, &path, &place).await;
    assert_eq!(without.status, StatusCode::BAD_REQUEST);
    let page =
        first_step(&browser, &path, &[&place[..], &[("reason", "test <data>")]].concat()).await;
    assert!(page.body.contains("<strong>1 record</strong> will be discarded"), "{}", page.body);
    let action = browser.confirm(&page).await;
    ended(&browser, &action, "1 records were discarded").await;
    // The other one waits at the end now, and the discarded one does not wait.
    let again = first_step(&browser, &path, &[&place[..], &[("reason", "again")]].concat()).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.body.contains("that waits"), "{}", again.body);
    let list = browser.get(&path).await.body;
    assert!(list.contains("<p>1 wait.</p>"), "{list}");
    let parameters = browser.get(action.location()).await.body;
    assert!(parameters.contains("test &lt;data&gt;"), "{parameters}");
    let unclear = first_step(&browser, &path, &[("action", "redrive"), ("scope", "one")]).await;
    assert_eq!(unclear.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_class_is_reported_with_those_that_wait() {
    let world = World::create().await;
    dead_letter(&world, "a", "panic", b"{}").await;
    let (browser, path) = (Browser::signed_in(&world).await, path(&world));
    let fields = [("action", "redrive"), ("scope", "filter"), ("class", "pan<b>ic")];
    let page = first_step(&browser, &path, &fields).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.body.contains("pan&lt;b&gt;ic; its classes are: panic"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_operators_who_redrive_the_same_records_one_sends_each() {
    let world = World::create().await;
    let topics = &world.topics;
    let letters =
        DeadLetters::new(&world.config(), &topics.delivery_events, &topics.status_group).unwrap();
    let reason = DeadLetterReason { class: "panic", message: String::new(), quotes_record: false };
    let keys: Vec<String> = (0..2_000).map(|number| format!("{number:04}")).collect();
    let store = keys.iter().map(async |key| {
        let record = Record {
            topic: topics.delivery_events.clone(),
            partition: 0,
            offset: 0,
            timestamp_ms: None,
            key: Some(key.clone().into_bytes()),
            value: None,
            headers: Vec::new(),
        };
        letters.store(&record, &reason).await.unwrap();
    });
    futures::future::join_all(store).await;
    // Two instances of the console.
    let browsers =
        [Browser::signed_in_as(&world, "carol").await, Browser::signed_in_as(&world, "dave").await];
    let (path, fields) = (path(&world), [("action", "redrive"), ("scope", "filter")]);
    let pages = [
        first_step(&browsers[0], &path, &fields).await,
        first_step(&browsers[1], &path, &fields).await,
    ];
    let both = tokio::join!(browsers[0].confirm(&pages[0]), browsers[1].confirm(&pages[1]));
    let statuses = [both.0.status, both.1.status];
    assert!(statuses.contains(&StatusCode::SEE_OTHER), "{statuses:?}");
    let ended = "SELECT count(*) FROM sales.operator_actions WHERE finished_at IS NULL";
    world.database.until_count("all have ended", ended, 0).await;
    assert_eq!(redriven(&world).await, keys);
}
