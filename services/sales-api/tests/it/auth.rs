use serde_json::{Value, json};
use test_kit::{World, bearer_with, seconds_from_now, signed};

use crate::api::{Answer, Api};

const ORDER: &str = "/api/orders/0199c0de-0000-7000-8000-000000000000";

async fn with_token(api: &Api, token: Option<String>) -> Answer {
    let request = api.request(reqwest::Method::GET, ORDER);
    Answer::of(match token {
        Some(token) => request.header("Authorization", token),
        None => request,
    })
    .await
}

/// The challenge that a refused token gets.
async fn challenge(api: &Api, token: Option<String>) -> String {
    let answer = with_token(api, token).await;
    assert_eq!(answer.problem(), (401, "UNAUTHORIZED".to_owned()));
    answer.header("www-authenticate").unwrap().to_owned()
}

fn claims(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({ "sub": "alice", "exp": seconds_from_now(60) });
    change(&mut claims);
    bearer_with(&claims)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_bearer_token_is_challenged() {
    let api = Api::start().await;
    for token in [None, Some("Basic YWxpY2U6c2VjcmV0".to_owned()), Some("Bearer".to_owned())] {
        assert_eq!(challenge(&api, token).await, "Bearer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_good_is_refused() {
    let api = Api::start().await;
    let good = json!({ "sub": "alice", "exp": seconds_from_now(60) });
    for (token, reason) in [
        (signed(&good, "another secret that is long enough"), "the token is invalid"),
        ("Bearer not.a.token".to_owned(), "the token is invalid"),
        // {"alg":"none"}, with the claims of alice and no signature.
        (
            "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.".to_owned(),
            "the token is invalid",
        ),
        (claims(|claims| claims["exp"] = json!(seconds_from_now(-31))), "the token has expired"),
        (
            claims(|claims| claims["nbf"] = json!(seconds_from_now(60))),
            "the token is not valid yet",
        ),
        (bearer_with(&json!({ "sub": "alice" })), "the token is invalid"),
        (bearer_with(&json!({ "exp": seconds_from_now(60) })), "the token is invalid"),
        (claims(|claims| claims["sub"] = json!("")), "the token is invalid"),
    ] {
        let challenge = challenge(&api, Some(token)).await;
        assert_eq!(
            challenge,
            format!("Bearer error=\"invalid_token\", error_description=\"{reason}\"")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_and_audience_are_checked_where_they_are_configured() {
    let mut world = World::create().await;
    world.set("JWT_ISSUER", "https://id.example").set("JWT_AUDIENCE", "sales");
    let api = Api::start_in(world).await;
    let both = |issuer: &str, audience: &str| {
        claims(|claims| {
            claims["iss"] = json!(issuer);
            claims["aud"] = json!(audience);
        })
    };
    // Past the token, the order is not there.
    assert_eq!(with_token(&api, Some(both("https://id.example", "sales"))).await.status, 404);
    for refused in
        [both("https://evil.example", "sales"), both("https://id.example", "hr"), claims(|_| ())]
    {
        assert!(challenge(&api, Some(refused)).await.contains("invalid_token"));
    }
}
