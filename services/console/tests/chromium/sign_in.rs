use test_kit::eventually;

use crate::chromium::{Chromium, Screen};
use crate::site::{Site, operator_token, sign_in};

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused_and_a_link_with_a_token_signs_in_after_a_click() {
    let site = Site::start().await;
    let browser = Chromium::start(Screen::Light).await;
    browser.open(&site.url("/topics")).await;
    assert_eq!(browser.path().await, "/sign-in?next=%2Ftopics");
    sign_in(&browser, "junk").await;
    let alert = browser.find("[role=alert]").await.text().await.unwrap();
    assert!(alert.starts_with("Not accepted: "), "{alert}");

    browser.open(&site.url(&format!("/sign-in?next=%2Forders#token={}", operator_token(60)))).await;
    let button = browser.find("form[data-sign-in] button").await;
    eventually("the form is filled in", async || {
        (button.text().await.unwrap() == "Sign in as carol").then_some(())
    })
    .await;
    // The token is neither in the address nor in the history of the browser.
    assert_eq!(browser.path().await, "/sign-in?next=%2Forders");
    browser.follow("form[data-sign-in] button").await;
    assert_eq!(browser.path().await, "/orders");
    assert_eq!(browser.run("return document.cookie").await, "");

    browser.follow(".sign-out button").await;
    assert_eq!(browser.path().await, "/sign-in");
    browser.open(&site.url("/orders")).await;
    assert_eq!(browser.path().await, "/sign-in?next=%2Forders");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_leads_to_the_sign_in_when_the_session_ends() {
    let site = Site::start().await;
    let browser = Chromium::start(Screen::Light).await;
    browser.open(&site.url("/sign-in?next=%2Faudit")).await;
    // With the tolerance for the issuer's clock, this token is valid for twelve seconds.
    sign_in(&browser, &operator_token(-18)).await;
    assert_eq!(browser.path().await, "/audit");
    eventually("the sign-in is shown", async || {
        (browser.path().await == "/sign-in?next=%2Faudit").then_some(())
    })
    .await;
}
