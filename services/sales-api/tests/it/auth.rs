//! Who gets in. What holds for every kind of key is checked with each of them.

mod key_set;
mod public_key;

use serde_json::{Value, json};
use test_kit::{World, bearer, bearer_with, seconds_from_now, signed};

use crate::api::{Answer, Api};

const ORDER: &str = "/api/orders/0199c0de-0000-7000-8000-000000000000";

const WRONG_SIGNATURE: &str = "the token is not signed with the key that it is checked with";
const WRONG_ALGORITHM: &str =
    "the token's alg is not the algorithm of the key that it is checked with";
const NO_SIGNED_JWT: &str = "the token is no signed JWT";

async fn with_tokens(api: &Api, tokens: &[String]) -> Answer {
    let request = api.request(reqwest::Method::GET, ORDER);
    Answer::of(tokens.iter().fold(request, |it, token| it.header("Authorization", token))).await
}

/// The challenge that a request with these `Authorization` headers gets.
async fn challenge(api: &Api, tokens: &[String]) -> String {
    let answer = with_tokens(api, tokens).await;
    assert_eq!(answer.problem(), (401, "UNAUTHORIZED".to_owned()), "{tokens:?}");
    answer.header("www-authenticate").unwrap().to_owned()
}

async fn refused(api: &Api, token: String, reason: &str) {
    let answer = with_tokens(api, &[token]).await;
    assert_eq!(answer.problem(), (401, "UNAUTHORIZED".to_owned()));
    assert_eq!(answer.json()["detail"], reason);
    let expected = format!("Bearer error=\"invalid_token\", error_description=\"{reason}\"");
    assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()));
}

async fn accepted(api: &Api, token: String) {
    // Past the token, the order is not there.
    let answer = with_tokens(api, &[token]).await;
    assert_eq!(answer.problem(), (404, "ORDER_NOT_FOUND".to_owned()));
}

fn good_claims() -> Value {
    json!({ "sub": "alice", "exp": seconds_from_now(60) })
}

/// The claims of alice, with some changed; `null` takes one away.
fn claims_with(change: Value) -> Value {
    let mut claims = good_claims();
    let Value::Object(change) = change else { panic!("no object: {change}") };
    for (name, value) in change {
        claims[name] = value;
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// An API whose tokens need not be signed with the secret of the others.
async fn api_with(variable: &str, value: impl std::fmt::Display) -> Api {
    let mut world = World::create().await;
    world.unset("JWT_SECRET").set(variable, value);
    Api::start_in(world).await
}

/// Claims are looked at, whatever a token is signed with.
async fn refuses_bad_claims(api: &Api, sign: impl Fn(&Value) -> String) {
    accepted(api, sign(&good_claims())).await;
    for (change, reason) in [
        (json!({ "exp": seconds_from_now(-31) }), "the token has expired"),
        (json!({ "nbf": seconds_from_now(60) }), "the token is not valid yet"),
        (json!({ "exp": null }), "the token\'s exp claim is missing or has a wrong form"),
        (json!({ "sub": null }), "the token\'s sub claim is missing or has a wrong form"),
        (json!({ "exp": "soon" }), "the token's exp claim is missing or has a wrong form"),
        (json!({ "role": ["operator"] }), "the token's role claim is missing or has a wrong form"),
        (json!({ "sub": "" }), "the token's sub claim is missing or has a wrong form"),
    ] {
        refused(api, sign(&claims_with(change)), reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_bearer_token_is_challenged() {
    let api = Api::start().await;
    assert_eq!(challenge(&api, &[]).await, "Bearer");
    for header in ["Basic YWxpY2U6c2VjcmV0", "Bearer"] {
        assert_eq!(challenge(&api, &[header.to_owned()]).await, "Bearer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_good_is_refused() {
    let api = Api::start().await;
    refuses_bad_claims(&api, bearer_with).await;
    let forged = signed(&good_claims(), "another secret that is long enough");
    refused(&api, forged, WRONG_SIGNATURE).await;
    for token in [
        "Bearer not.a.token",
        // {"alg":"none"}, with the claims of alice and no signature.
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.",
    ] {
        refused(&api, token.to_owned(), NO_SIGNED_JWT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_are_refused_however_good_each_is() {
    let api = Api::start().await;
    let tokens = [bearer("alice"), bearer("alice")];
    assert!(challenge(&api, &tokens).await.contains("more than one Authorization header"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_of_more_than_8_kib_is_refused_however_good_its_token_is() {
    let api = Api::start().await;
    let padded = |bytes: usize| bearer_with(&claims_with(json!({ "padding": "x".repeat(bytes) })));
    let (short, long) = (padded(5900), padded(6200));
    assert!(short.len() <= 8192 && long.len() > 8192, "{} {}", short.len(), long.len());
    accepted(&api, short).await;
    refused(&api, long, "the Authorization header is longer than 8192 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_and_audience_are_checked_where_they_are_configured() {
    let mut world = World::create().await;
    world.set("JWT_ISSUER", "https://id.example").set("JWT_AUDIENCE", "sales");
    let api = Api::start_in(world).await;
    let of = |issuer: Value, audience: Value| {
        bearer_with(&claims_with(json!({ "iss": issuer, "aud": audience })))
    };
    let (issuer, audience) = (json!("https://id.example"), json!("sales"));
    accepted(&api, of(issuer.clone(), audience.clone())).await;
    accepted(&api, of(issuer.clone(), json!(["hr", "sales"]))).await;
    for (token, reason) in [
        (
            of(json!("https://evil.example"), audience.clone()),
            "the token's iss claim is not the one that is expected here",
        ),
        (
            of(issuer.clone(), json!("hr")),
            "the token's aud claim is not the one that is expected here",
        ),
        (of(Value::Null, audience), "the token\'s iss claim is missing or has a wrong form"),
        (of(issuer, Value::Null), "the token\'s aud claim is missing or has a wrong form"),
    ] {
        refused(&api, token, reason).await;
    }
}
