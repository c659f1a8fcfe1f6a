//! Tokens of an issuer that has several keys.

use std::fs;
use std::path::Path;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    NO_SIGNED_JWT, WRONG_ALGORITHM, WRONG_SIGNATURE, accepted, api_with, good_claims, refused,
    refuses_bad_claims,
};
use crate::api::Api;
use crate::keys::{KeyPair, bearer};

const UNKNOWN: &str = "the token's kid is not that of a key which is known here";
const NONE: &str = "the token names no kid, which says what key it is signed with";

async fn api_of(keys: &[Value]) -> Api {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.json", Uuid::new_v4()));
    fs::write(&file, json!({ "keys": keys }).to_string()).unwrap();
    let api = api_with("JWT_JWKS_FILE", file.display()).await;
    // It is read once, with the other settings.
    fs::remove_file(file).unwrap();
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_and_the_new_key_of_an_issuer_are_accepted_side_by_side() {
    let (old, new) = (KeyPair::rsa(), KeyPair::ed25519());
    let api = api_of(&[old.jwk("2026-10"), new.jwk("2026-11")]).await;
    refuses_bad_claims(&api, |claims| old.bearer_named("2026-10", claims)).await;
    refuses_bad_claims(&api, |claims| new.bearer_named("2026-11", claims)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_does_not_name_its_own_key_of_the_set_is_refused() {
    let (one, other) = (KeyPair::p256(), KeyPair::p256());
    let api = api_of(&[one.jwk("one"), other.jwk("other")]).await;
    accepted(&api, one.bearer_named("one", &good_claims())).await;
    for (token, reason) in [
        (one.bearer(&good_claims()), NONE),
        (one.bearer_named("", &good_claims()), UNKNOWN),
        (one.bearer_named("unknown", &good_claims()), UNKNOWN),
        (one.bearer_named("other", &good_claims()), WRONG_SIGNATURE),
        (KeyPair::p256().bearer_named("one", &good_claims()), WRONG_SIGNATURE),
    ] {
        refused(&api, token, reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_set_is_used_with_its_own_algorithm_only() {
    let key = KeyPair::rsa();
    let mut pss = key.jwk("pss");
    pss["alg"] = json!("PS256");
    let api = api_of(&[key.jwk("rsa"), pss]).await;
    let token = |kid: &str, algorithm, private: &EncodingKey| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        bearer(&header, &good_claims(), private)
    };
    accepted(&api, token("pss", Algorithm::PS256, &key.private)).await;
    let secret = EncodingKey::from_secret(key.public_pem.as_bytes());
    for token in [
        token("rsa", Algorithm::PS256, &key.private),
        token("pss", Algorithm::RS256, &key.private),
        token("rsa", Algorithm::HS256, &secret),
    ] {
        refused(&api, token, WRONG_ALGORITHM).await;
    }
    // {"alg":"none","kid":"rsa"}
    let unsigned =
        "Bearer eyJhbGciOiJub25lIiwia2lkIjoicnNhIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.";
    refused(&api, unsigned.to_owned(), NO_SIGNED_JWT).await;
}
