//! Tokens of an issuer with several keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use test_kit::{eventually, is_ready, until_ready};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::{
    NOT_A_SIGNED_JWT, WRONG_ALGORITHM, WRONG_SIGNATURE, api_with, assert_accepted,
    assert_bad_claims_refused, assert_refused, good_claims, with_tokens,
};
use crate::api::Api;
use crate::keys::{KeyPair, bearer};

const UNKNOWN_KID: &str = "the token's kid does not match a known key";
const MISSING_KID: &str = "the token has no kid, which selects its key";

fn set_of(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A key set file. Dropping this value deletes the file.
struct KeyFile(PathBuf);

impl KeyFile {
    fn of(keys: &[Value]) -> Self {
        let name = format!("{}.json", Uuid::new_v4());
        let file = Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(name));
        file.write(&set_of(keys));
        file
    }

    fn write(&self, text: &str) {
        fs::write(&self.0, text).unwrap();
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}

async fn api_of(keys: &[Value]) -> Api {
    // The API keeps the keys that it has read after the file is deleted.
    api_with("JWT_JWKS_FILE", KeyFile::of(keys).0.display()).await
}

/// An issuer that serves its keys under a URL and counts the requests.
struct Issuer {
    url: String,
    set: Arc<Mutex<Option<String>>>,
    requests: Arc<AtomicUsize>,
}

impl Issuer {
    /// Starts an issuer that is unavailable until it gets keys.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (set, requests) =
            (Arc::<Mutex<Option<String>>>::default(), Arc::<AtomicUsize>::default());
        let (shown, counter) = (set.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.read(&mut [0; 4096]).await;
                let Some(set) = shown.lock().unwrap().clone() else { continue };
                counter.fetch_add(1, Ordering::SeqCst);
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
                let response = format!("{head} {}\r\n\r\n{set}", set.len());
                client.write_all(response.as_bytes()).await.unwrap();
            }
        });
        Self { url, set, requests }
    }

    fn publish(&self, keys: &[Value]) {
        *self.set.lock().unwrap() = Some(set_of(keys));
    }

    fn go_down(&self) {
        *self.set.lock().unwrap() = None;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn status(api: &Api, token: String) -> u16 {
    with_tokens(api, &[token]).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_key_does_not_disable_the_others() {
    let key = KeyPair::ed25519();
    let mut padded = KeyPair::p256().jwk("padded");
    padded["x"] = json!(format!("{}=", padded["x"].as_str().unwrap()));
    let mut bad_key_ops = KeyPair::p256().jwk("bad_key_ops");
    bad_key_ops["key_ops"] = json!("verify");
    let mut without_kid = KeyPair::p256().jwk("");
    without_kid.as_object_mut().unwrap().remove("kid");
    let duplicate = KeyPair::ed25519().jwk("good");
    let api = api_of(&[padded, bad_key_ops, without_kid, key.jwk("good"), duplicate]).await;
    assert_accepted(&api, key.bearer_named("good", &good_claims())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_key_file_is_reloaded_and_an_invalid_one_is_ignored() {
    let (old, new) = (KeyPair::p256(), KeyPair::p256());
    let file = KeyFile::of(&[old.jwk("old")]);
    let api = api_with("JWT_JWKS_FILE", file.0.display()).await;
    assert_refused(&api, new.bearer_named("new", &good_claims()), UNKNOWN_KID).await;
    file.write("half a se");
    assert_accepted(&api, old.bearer_named("old", &good_claims())).await;
    file.write(&set_of(&[new.jwk("new")]));
    eventually("the new key is in use", async || {
        (status(&api, new.bearer_named("new", &good_claims())).await == 404).then_some(())
    })
    .await;
    assert_refused(&api, old.bearer_named("old", &good_claims()), UNKNOWN_KID).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_keys_are_awaited_and_outlast_an_issuer_outage() {
    let (issuer, old) = (Issuer::start().await, KeyPair::p256());
    let api = api_with("JWT_JWKS_URL", &issuer.url).await;
    // The issuer is unavailable.
    let early = with_tokens(&api, &[old.bearer_named("old", &good_claims())]).await;
    assert_eq!(early.problem(), "503 TOKEN_KEYS_UNAVAILABLE");
    assert_eq!(early.header("retry-after"), Some("1"));
    assert!(!is_ready(api.management_port).await);

    issuer.publish(&[old.jwk("old")]);
    until_ready(api.management_port).await;
    assert_accepted(&api, old.bearer_named("old", &good_claims())).await;
    issuer.go_down();
    assert_accepted(&api, old.bearer_named("old", &good_claims())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_issuer_key_is_accepted_at_once_and_unknown_kids_cause_no_refetch() {
    let (issuer, old, new) = (Issuer::start().await, KeyPair::p256(), KeyPair::p256());
    issuer.publish(&[old.jwk("old")]);
    let api = api_with("JWT_JWKS_URL", &issuer.url).await;
    until_ready(api.management_port).await;
    issuer.publish(&[old.jwk("old"), new.jwk("new")]);
    assert_accepted(&api, new.bearer_named("new", &good_claims())).await;
    let requests = issuer.requests();
    for made_up in 0..10 {
        let token = new.bearer_named(&format!("made-up-{made_up}"), &good_claims());
        assert_refused(&api, token, UNKNOWN_KID).await;
    }
    assert_eq!(issuer.requests(), requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_issuer_keys_are_accepted_during_a_rotation() {
    let (old, new) = (KeyPair::rsa(), KeyPair::ed25519());
    let api = api_of(&[old.jwk("2026-10"), new.jwk("2026-11")]).await;
    assert_bad_claims_refused(&api, |claims| old.bearer_named("2026-10", claims)).await;
    assert_bad_claims_refused(&api, |claims| new.bearer_named("2026-11", claims)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_a_missing_or_wrong_kid_is_refused() {
    let (one, other) = (KeyPair::p256(), KeyPair::p256());
    let api = api_of(&[one.jwk("one"), other.jwk("other")]).await;
    assert_accepted(&api, one.bearer_named("one", &good_claims())).await;
    for (token, reason) in [
        (one.bearer(&good_claims()), MISSING_KID),
        (one.bearer_named("", &good_claims()), UNKNOWN_KID),
        (one.bearer_named("unknown", &good_claims()), UNKNOWN_KID),
        (one.bearer_named("other", &good_claims()), WRONG_SIGNATURE),
        (KeyPair::p256().bearer_named("one", &good_claims()), WRONG_SIGNATURE),
    ] {
        assert_refused(&api, token, reason).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_the_set_is_used_only_with_its_own_algorithm() {
    let key = KeyPair::rsa();
    let mut pss = key.jwk("pss");
    pss["alg"] = json!("PS256");
    let api = api_of(&[key.jwk("rsa"), pss]).await;
    let token = |kid: &str, algorithm, private: &EncodingKey| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        bearer(&header, &good_claims(), private)
    };
    assert_accepted(&api, token("pss", Algorithm::PS256, &key.private)).await;
    let secret = EncodingKey::from_secret(key.public_pem.as_bytes());
    for token in [
        token("rsa", Algorithm::PS256, &key.private),
        token("pss", Algorithm::RS256, &key.private),
        token("rsa", Algorithm::HS256, &secret),
    ] {
        assert_refused(&api, token, WRONG_ALGORITHM).await;
    }
    // {"alg":"none","kid":"rsa"}
    let unsigned =
        "Bearer eyJhbGciOiJub25lIiwia2lkIjoicnNhIn0.eyJzdWIiOiJhbGljZSIsImV4cCI6OTk5OTk5OTk5OX0.";
    assert_refused(&api, unsigned.to_owned(), NOT_A_SIGNED_JWT).await;
}
