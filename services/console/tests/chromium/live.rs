use std::time::{Duration, Instant};

use test_kit::eventually;

use crate::chromium::{Chromium, Screen};
use crate::site::Site;

/// Number of changes that are measured. The median tolerates a machine that is busy for a moment.
const CHANGES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_shows_a_change_within_two_seconds_and_keeps_what_is_typed() {
    let site = Site::start().await;
    let browser = site.browser(Screen::Light).await;
    browser.open(&site.url("/dead-letters")).await;
    until_live(&browser).await;
    browser.find("input[name=topic]").await.send_keys("half of a na").await.unwrap();

    let mut delays = Vec::new();
    for change in 1..=CHANGES {
        let begin = Instant::now();
        site.add_dead_letters(1, "too large").await;
        browser.find(&format!("#letters tbody tr:nth-child({change})")).await;
        delays.push(begin.elapsed());
    }
    delays.sort();
    assert!(delays[CHANGES / 2] < Duration::from_secs(2), "{delays:?}");

    browser.press("me").await;
    let typed = browser.find("input[name=topic]").await.prop("value").await.unwrap();
    assert_eq!(typed.as_deref(), Some("half of a name"));
    assert!(browser.console().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_open_pages_than_a_browser_has_connections_do_not_block_it() {
    let site = Site::start().await;
    let browser = site.browser(Screen::Light).await;
    for _ in 0..8 {
        let tab = browser.driver.new_window(true).await.unwrap();
        browser.driver.switch_to_window(tab.handle).await.unwrap();
        browser.open(&site.url("/audit")).await;
    }
    until_live(&browser).await;
}

async fn until_live(browser: &Chromium) {
    eventually("the page is live", async || {
        (browser.find("#live").await.text().await.unwrap() == "Live").then_some(())
    })
    .await;
}
