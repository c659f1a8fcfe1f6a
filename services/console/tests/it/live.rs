use std::time::Duration;

use domain::OrderId;
use reqwest::StatusCode;
use serde_json::json;
use test_kit::{World, eventually, outbox_event, put_into_dead_letters, seconds_from_now};
use tokio::time::timeout;

use crate::browser::{Browser, token};

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_shows_a_change_and_ends_with_its_token() {
    let world = World::create().await;
    let browser = Browser::signed_in(&world).await;
    let request = browser.request_to("/dead-letters").header("accept", "text/event-stream");
    let mut stream = request.send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut next = async || {
        let chunk = timeout(Duration::from_secs(30), stream.chunk()).await.unwrap().unwrap();
        String::from_utf8(chunk.unwrap().to_vec()).unwrap()
    };
    let first = next().await;
    assert!(
        first.starts_with("event: page\ndata: ") && first.contains("There are none."),
        "{first}"
    );

    let event = outbox_event(&world, OrderId::generate(), "{}");
    put_into_dead_letters(&world, &[event], "too <b>large</b>").await;
    let second = next().await;
    assert!(second.contains("too &lt;b&gt;large"), "{second}");

    // With the tolerance for the issuer's clock, this token expires in a second.
    let claims = json!({ "sub": "carol", "role": "operator", "exp": seconds_from_now(-29) });
    let request = browser.request_to("/topics").bearer_auth(token(&claims));
    let response = request.header("accept", "text/event-stream").send().await.unwrap();
    let text = response.text().await.unwrap();
    assert!(text.contains("event: end\ndata: the token has expired\n\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn live_pages_are_limited_and_end_when_the_console_stops() {
    let mut world = World::create().await;
    world.set("MAX_LIVE_PAGES", 2);
    let browser = Browser::signed_in(&world).await;
    let live = || browser.request_to("/audit").header("accept", "text/event-stream");
    let mut only = live().send().await.unwrap();
    only.chunk().await.unwrap().unwrap();
    let refused = live().send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    drop(only);
    eventually("there is room again", async || {
        (live().send().await.unwrap().status() == StatusCode::OK).then_some(())
    })
    .await;

    let mut last = eventually("a page is live", async || {
        let response = live().send().await.unwrap();
        (response.status() == StatusCode::OK).then_some(response)
    })
    .await;
    browser.service.stop().await;
    let mut text = String::new();
    while let Some(chunk) = last.chunk().await.unwrap() {
        text += str::from_utf8(&chunk).unwrap();
    }
    assert!(text.ends_with("retry: 1000\n\n"), "{text}");
}
