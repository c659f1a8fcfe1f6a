//! Tokens of an issuer whose public key is in the settings.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};

use super::{
    NOT_A_SIGNED_JWT, WRONG_ALGORITHM, WRONG_SIGNATURE, api_with, assert_accepted,
    assert_bad_claims_refused, assert_refused, good_claims,
};
use crate::api::Api;
use crate::keys::{KeyPair, bearer};

async fn api_of(key: &KeyPair) -> Api {
    // On one line, as in an env file.
    api_with("JWT_PUBLIC_KEY", key.public_pem.trim().replace('\n', "\\n").replace('\r', "")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_public_key_type_accepts_only_its_own_tokens() {
    for (key, other) in [
        (KeyPair::rsa(), KeyPair::rsa()),
        (KeyPair::p256(), KeyPair::p256()),
        (KeyPair::ed25519(), KeyPair::ed25519()),
    ] {
        let api = api_of(&key).await;
        assert_bad_claims_refused(&api, |claims| key.bearer(claims)).await;
        assert_refused(&api, other.bearer(&good_claims()), WRONG_SIGNATURE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_key_is_not_accepted_as_an_hmac_secret() {
    let key = KeyPair::rsa();
    let api = api_of(&key).await;
    for secret in [key.public_pem.as_str(), key.public_pem.trim()] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let secret = EncodingKey::from_secret(secret.as_bytes());
            let token = bearer(&Header::new(algorithm), &good_claims(), &secret);
            assert_refused(&api, token, WRONG_ALGORITHM).await;
        }
    }
    let unsigned = "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.";
    assert_refused(&api, unsigned.to_owned(), NOT_A_SIGNED_JWT).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_right_key_with_another_algorithm_is_refused() {
    let key = KeyPair::rsa();
    let api = api_of(&key).await;
    for algorithm in [Algorithm::RS384, Algorithm::PS256] {
        let token = bearer(&Header::new(algorithm), &good_claims(), &key.private);
        assert_refused(&api, token, WRONG_ALGORITHM).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_embedded_in_a_token_is_not_used() {
    let (key, own) = (KeyPair::p256(), KeyPair::p256());
    let api = api_of(&key).await;
    let jwk = Jwk::from_encoding_key(&own.private, own.algorithm).unwrap();
    let token = bearer(&Header { jwk: Some(jwk), ..own.header() }, &good_claims(), &own.private);
    assert_refused(&api, token, WRONG_SIGNATURE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_a_critical_extension_is_refused() {
    let key = KeyPair::ed25519();
    let api = api_of(&key).await;
    let header = Header { crit: Some(vec!["b64".to_owned()]), ..key.header() };
    let token = bearer(&header, &good_claims(), &key.private);
    assert_refused(&api, token, "the token has a critical extension, and none is supported").await;
    assert_accepted(&api, key.bearer(&good_claims())).await;
}
