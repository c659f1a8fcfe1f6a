use domain::OrderId;
use test_kit::eventually;

use crate::chromium::{Chromium, Screen};
use crate::site::{Site, operator_token, sign_in};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_finds_and_redrives_a_dead_letter_without_scripts() {
    let site = Site::start().await;
    site.add_dead_letters(2, "too large").await;
    let browser = Chromium::start(Screen::Light).await;
    browser.disable_scripts().await;
    browser.open(&site.url("/")).await;
    sign_in(&browser, &operator_token(3600)).await;
    browser.follow("nav a[href='/dead-letters']").await;
    assert_eq!(browser.find("#live").await.text().await.unwrap(), "");
    let time = browser.find("#letters time").await.text().await.unwrap();
    assert!(time.ends_with(" UTC"), "{time}");

    browser
        .find("input[name=order]")
        .await
        .send_keys(&OrderId::generate().to_string())
        .await
        .unwrap();
    browser.follow("form[method=get] button").await;
    assert!(browser.find("#letters .empty").await.is_displayed().await.unwrap());
    browser.follow("nav a[href='/dead-letters']").await;
    browser.follow("#letters a[href='/dead-letters/1']").await;
    browser.follow("form:has(input[name=action][value=redrive]) button").await;
    browser.follow("form:has(input[name=count]) button").await;
    let waiting = "SELECT count(*) FROM sales.outbox_dead_letters WHERE redriven_at IS NULL";
    site.world.database.until_count("one is redriven", waiting, 1).await;
    eventually("the action is listed", async || {
        browser.follow("nav a[href='/audit']").await;
        browser.text().await.contains("redrive").then_some(())
    })
    .await;
    browser.follow(".sign-out button").await;
    assert_eq!(browser.path().await, "/sign-in");
}
