//! Authentication. The claims are checked with every kind of key.

mod key_set;
mod public_key;

use serde_json::{Value, json};
use test_kit::{World, bearer, bearer_with, seconds_from_now, signed};

use crate::api::{Api, Response};

const ORDER: &str = "/api/orders/0199c0de-0000-7000-8000-000000000000";

const WRONG_SIGNATURE: &str = "the token's signature does not match its key";
const WRONG_ALGORITHM: &str = "the token's alg does not match the algorithm of its key";
const NOT_A_SIGNED_JWT: &str = "the token is not a signed JWT";

async fn with_tokens(api: &Api, tokens: &[String]) -> Response {
    let request = api.request(reqwest::Method::GET, ORDER);
    Response::of(tokens.iter().fold(request, |it, token| it.header("Authorization", token))).await
}

/// The challenge that a request with these `Authorization` headers gets.
async fn challenge(api: &Api, tokens: &[String]) -> String {
    let response = with_tokens(api, tokens).await;
    assert_eq!(response.problem(), "401 UNAUTHORIZED", "{tokens:?}");
    response.header("www-authenticate").unwrap().to_owned()
}

async fn assert_refused(api: &Api, token: String, reason: &str) {
    let response = with_tokens(api, &[token]).await;
    assert_eq!(response.problem(), "401 UNAUTHORIZED");
    assert_eq!(response.json()["detail"], reason);
    let expected = format!("Bearer error=\"invalid_token\", error_description=\"{reason}\"");
    assert_eq!(response.header("www-authenticate"), Some(expected.as_str()));
}

async fn assert_accepted(api: &Api, token: String) {
    // A request with a valid token gets as far as the order, which does not exist.
    let response = with_tokens(api, &[token]).await;
    assert_eq!(response.problem(), "404 ORDER_NOT_FOUND");
}

fn good_claims() -> Value {
    json!({ "sub": "alice", "exp": seconds_from_now(60) })
}

/// The claims of alice with some changed; `null` removes a claim.
fn claims_with(change: Value) -> Value {
    let mut claims = good_claims();
    let Value::Object(change) = change else { panic!("not an object: {change}") };
    for (name, value) in change {
        claims[name] = value;
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// An API that checks tokens with this setting instead of `JWT_SECRET`.
async fn api_with(variable: &str, value: impl std::fmt::Display) -> Api {
    let mut world = World::create().await;
    world.unset("JWT_SECRET").set(variable, value);
    Api::start_in(world).await
}

/// Checks that a token with an invalid claim fails. `sign` signs the tokens.
async fn assert_bad_claims_refused(api: &Api, sign: impl Fn(&Value) -> String) {
    assert_accepted(api, sign(&good_claims())).await;
    for (change, reason) in [
        (json!({ "exp": seconds_from_now(-31) }), "the token has expired"),
        (json!({ "nbf": seconds_from_now(60) }), "the token is not valid yet"),
        (json!({ "exp": null }), "the token's exp claim is missing or malformed"),
        (json!({ "sub": null }), "the token's sub claim is missing or malformed"),
        (json!({ "exp": "soon" }), "the token's exp claim is missing or malformed"),
        (json!({ "role": ["operator"] }), "the token's role claim is missing or malformed"),
        (json!({ "sub": "" }), "the token's sub claim is missing or malformed"),
    ] {
        assert_refused(api, sign(&claims_with(change)), reason).await;
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
async fn an_invalid_token_is_refused() {
    let api = Api::start().await;
    assert_bad_claims_refused(&api, bearer_with).await;
    let forged = signed(&good_claims(), "another secret that is long enough");
    assert_refused(&api, forged, WRONG_SIGNATURE).await;
    for token in [
        "Bearer not.a.token",
        // {"alg":"none"}, with the claims of alice and no signature.
        "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.",
    ] {
        assert_refused(&api, token.to_owned(), NOT_A_SIGNED_JWT).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_authorization_headers_are_refused() {
    let api = Api::start().await;
    let tokens = [bearer("alice"), bearer("alice")];
    assert!(challenge(&api, &tokens).await.contains("more than one Authorization header"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_header_of_more_than_8_kib_is_refused() {
    let api = Api::start().await;
    let padded = |bytes: usize| bearer_with(&claims_with(json!({ "padding": "x".repeat(bytes) })));
    let (short, long) = (padded(5900), padded(6200));
    assert!(short.len() <= 8192 && long.len() > 8192, "{} {}", short.len(), long.len());
    assert_accepted(&api, short).await;
    assert_refused(&api, long, "the Authorization header is longer than 8192 bytes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_issuer_and_audience_are_checked() {
    let api =
        Api::start_with(&[("JWT_ISSUER", &"https://id.example"), ("JWT_AUDIENCE", &"sales")]).await;
    let of = |issuer: Value, audience: Value| {
        bearer_with(&claims_with(json!({ "iss": issuer, "aud": audience })))
    };
    let (issuer, audience) = (json!("https://id.example"), json!("sales"));
    assert_accepted(&api, of(issuer.clone(), audience.clone())).await;
    assert_accepted(&api, of(issuer.clone(), json!(["hr", "sales"]))).await;
    for (token, reason) in [
        (
            of(json!("https://evil.example"), audience.clone()),
            "the token's iss claim does not have the expected value",
        ),
        (of(issuer.clone(), json!("hr")), "the token's aud claim does not have the expected value"),
        (of(Value::Null, audience), "the token's iss claim is missing or malformed"),
        (of(issuer, Value::Null), "the token's aud claim is missing or malformed"),
    ] {
        assert_refused(&api, token, reason).await;
    }
}
