use fantoccini::key::Key;
use test_kit::{World, eventually};

use crate::chromium::{Chromium, Screen};
use crate::site::Site;

const WAITING: &str = "SELECT count(*) FROM sales.outbox_dead_letters
    WHERE redriven_at IS NULL AND discarded_at IS NULL";
const DISCARDED: &str =
    "SELECT count(*) FROM sales.outbox_dead_letters WHERE discard_reason = 'test data'";

/// The form of the first step.
fn form(action: &str) -> String {
    format!("form:has(input[name=action][value={action}])")
}

/// Confirms with the only button of the second step, which names the number of events.
async fn confirm(browser: &Chromium, count: &str) {
    let button = "form:has(input[name=count]) button";
    let label = browser.find(button).await.text().await.unwrap();
    assert!(label.ends_with(count), "{label}");
    browser.follow(button).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_dead_letters_are_redriven_and_one_is_discarded_after_a_confirmation() {
    let site = Site::start().await;
    site.add_dead_letters(3, "too large").await;
    let browser = site.browser(Screen::Light).await;

    browser.open(&site.url("/dead-letters/2")).await;
    let discard = form("discard");
    let reason = browser.find(&format!("{discard} input[name=reason]")).await;
    reason.send_keys("test data").await.unwrap();
    browser.follow(&format!("{discard} button")).await;
    assert_eq!(site.world.database.count(WAITING).await, 3);
    confirm(&browser, "1 event").await;
    site.world.database.until_count("one is discarded", DISCARDED, 1).await;

    browser.open(&site.url("/dead-letters")).await;
    browser.follow(&format!("{} button", form("redrive"))).await;
    assert_eq!(site.world.database.count(WAITING).await, 2);
    confirm(&browser, "2 events").await;
    site.world.database.until_count("none waits", WAITING, 0).await;
    until_audited(&browser, &site, 2).await;
    assert!(browser.console().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_action_tells_the_reason_and_changes_nothing() {
    let mut world = World::create().await;
    world.set("DATABASE_STATEMENT_TIMEOUT", 500);
    let site = Site::start_in(world);
    site.add_dead_letters(1, "too large").await;
    let browser = site.browser(Screen::Light).await;
    let redrive = form("redrive");

    browser.open(&site.url("/dead-letters")).await;
    let spoil = "document.querySelector('{form} [name=formToken]').value = 'guessed'";
    browser.run(&spoil.replace("{form}", &redrive)).await;
    browser.follow(&format!("{redrive} button")).await;
    let alert = browser.find("[role=alert]").await.text().await.unwrap();
    assert!(alert.contains("The form was out of date"), "{alert}");
    let heading = browser.find("h1").await.text().await.unwrap();
    assert_eq!(heading, "Nothing was changed");

    // An empty reason does not even leave the page.
    browser.open(&site.url("/dead-letters")).await;
    browser.find(&format!("{} button", form("discard"))).await.click().await.unwrap();
    let is_wrong = "return document.querySelector('input[name=reason]:invalid') !== null";
    assert_eq!(browser.run(is_wrong).await, true);
    assert_eq!(browser.path().await, "/dead-letters");

    let lock = site.world.database.begin("LOCK TABLE sales.outbox_dead_letters").await;
    browser.follow(&format!("{redrive} button")).await;
    let alert = browser.find("[role=alert]").await.text().await.unwrap();
    assert!(alert.contains("statement timeout"), "{alert}");
    lock.commit().await;
    assert_eq!(site.world.database.count(WAITING).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keyboard_alone_finds_a_dead_letter_and_redrives_it() {
    let site = Site::start().await;
    site.add_dead_letters(1, "too large").await;
    let browser = site.browser(Screen::Light).await;
    let enter = async || {
        let left = browser.find("main").await;
        browser.press(char::from(Key::Enter)).await;
        Chromium::until_left(&left).await;
    };
    // The first stop of the tabulator skips the navigation.
    browser.press(char::from(Key::Tab)).await;
    assert_eq!(browser.run("return document.activeElement.className").await, "skip");
    browser.tab_to("nav a[href='/dead-letters']").await;
    enter().await;
    browser.tab_to("#letters a[href='/dead-letters/1']").await;
    enter().await;
    assert_eq!(browser.path().await, "/dead-letters/1");
    browser.tab_to(&format!("{} button", form("redrive"))).await;
    enter().await;
    browser.tab_to("form:has(input[name=count]) button").await;
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.run(outline).await, "solid");
    enter().await;
    site.world.database.until_count("none waits", WAITING, 0).await;
}

/// Waits until the audit page lists this number of actions of carol that have ended.
async fn until_audited(browser: &Chromium, site: &Site, count: i64) {
    let ended = "SELECT count(*) FROM sales.operator_actions WHERE outcome IS NOT NULL";
    site.world.database.until_count("the actions have ended", ended, count).await;
    browser.open(&site.url("/audit")).await;
    eventually("the page lists them", async || {
        let text = browser.text().await;
        i64::try_from(text.matches("carol").count()).is_ok_and(|found| found > count).then_some(())
    })
    .await;
}
