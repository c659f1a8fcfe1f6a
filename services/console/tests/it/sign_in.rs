use reqwest::StatusCode;
use reqwest::header::SET_COOKIE;
use serde_json::json;
use test_kit::{World, seconds_from_now};

use crate::browser::{Browser, token};

const PATHS: [&str; 7] =
    ["/", "/orders", "/dead-letters", "/shipments", "/topics", "/verify", "/audit"];
const OTHERS: [&str; 6] = [
    "/orders/01990000-0000-7000-8000-000000000001",
    "/dead-letters/1",
    "/dead-letters/1/value",
    "/dead-letters/topics/a.b.dlq",
    "/dead-letters/topics/a.b.dlq/0/0/value",
    "/actions/1",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_page_requires_an_operator_and_the_sign_in_leads_back() {
    let world = World::create().await;
    let browser = Browser::open(&world);
    for path in PATHS.into_iter().chain(OTHERS) {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
        assert!(page.location().starts_with("/sign-in?next=%2F"), "{}", page.location());
    }
    let form = browser.get("/sign-in?next=%2Forders").await.field("formToken");
    let token = token(&json!({ "sub": "carol", "role": "operator" }));
    let fields = [("formToken", form.as_str()), ("token", &token)];
    let page = browser.post("/sign-in?next=%2Forders", &fields).await;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, "/orders"));
    let cookie = page.headers[SET_COOKIE].to_str().unwrap();
    assert!(cookie.starts_with("__Host-console_session="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Strict", "Secure", "Path=/", "Max-Age="] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    for path in PATHS {
        let page = browser.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}");
        assert!(page.body.contains("carol"), "{path}: {}", page.body);
    }

    let page = browser.post("/sign-out", &[("formToken", "guessed")]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/").await.status, StatusCode::OK);
    let form = browser.get("/").await.field("formToken");
    browser.post("/sign-out", &[("formToken", &form)]).await;
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_valid_token_of_an_operator_signs_in() {
    let world = World::create().await;
    let browser = Browser::open(&world);
    let form = browser.get("/sign-in").await.field("formToken");
    let operator = json!({ "sub": "carol", "role": "operator" });
    let mut expired = operator.clone();
    expired["exp"] = seconds_from_now(-120).into();
    for (claims, status, words) in [
        (json!({ "sub": "alice" }), StatusCode::FORBIDDEN, "does not have the role operator"),
        (expired, StatusCode::UNAUTHORIZED, "the token has expired"),
    ] {
        let fields = [("formToken", form.as_str()), ("token", &token(&claims))];
        let page = browser.post("/sign-in", &fields).await;
        assert_eq!(page.status, status);
        assert!(page.body.contains(words), "{}", page.body);
    }
    let forged = format!("{}x", token(&operator));
    let page = browser.post("/sign-in", &[("formToken", &form), ("token", &forged)]).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    // A form of another site does not have the token of this one.
    let fields = [("formToken", "guessed"), ("token", &token(&operator))];
    assert_eq!(browser.post("/sign-in", &fields).await.status, StatusCode::FORBIDDEN);
    assert_eq!(browser.get("/").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_can_send_the_token_of_an_operator() {
    let world = World::create().await;
    let browser = Browser::open(&world);
    let with = |claims| browser.request_to("/audit").bearer_auth(token(&claims));
    let page = browser.send(with(json!({ "sub": "dave", "role": "operator" }))).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("dave"), "{}", page.body);
    let page = browser.send(with(json!({ "sub": "alice" }))).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    // A wrong token of the proxy is not replaced by that of a session.
    let browser = Browser::signed_in(&world).await;
    let page = browser.send(browser.request_to("/audit").bearer_auth("junk")).await;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    assert!(page.body.contains("the token is not a signed JWT"), "{}", page.body);
}
