//! Tokens of an issuer that has several keys.

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
    NO_SIGNED_JWT, WRONG_ALGORITHM, WRONG_SIGNATURE, accepted, api_with, good_claims, refused,
    refuses_bad_claims, with_tokens,
};
use crate::api::Api;
use crate::keys::{KeyPair, bearer};

const UNKNOWN: &str = "the token's kid is not that of a key which is known here";
const NONE: &str = "the token names no kid, which says what key it is signed with";

fn set_of(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A file that is gone with this value.
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
    // What was read of it counts, though it is gone.
    api_with("JWT_JWKS_FILE", KeyFile::of(keys).0.display()).await
}

/// An issuer that shows its keys under a URL, and counts how often.
struct Issuer {
    url: String,
    set: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Issuer {
    /// One that is away until it has keys.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let (set, asked) = (Arc::<Mutex<Option<String>>>::default(), Arc::<AtomicUsize>::default());
        let (shown, counter) = (set.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let _ = client.read(&mut [0; 4096]).await;
                let Some(set) = shown.lock().unwrap().clone() else { continue };
                counter.fetch_add(1, Ordering::SeqCst);
                let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length:";
                let answer = format!("{head} {}\r\n\r\n{set}", set.len());
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { url, set, asked }
    }

    fn show(&self, keys: &[Value]) {
        *self.set.lock().unwrap() = Some(set_of(keys));
    }

    fn leave(&self) {
        *self.set.lock().unwrap() = None;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn status(api: &Api, token: String) -> u16 {
    with_tokens(api, &[token]).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_cannot_be_used_keeps_no_other_one_from_being_used() {
    let key = KeyPair::ed25519();
    let mut padded = KeyPair::p256().jwk("padded");
    padded["x"] = json!(format!("{}=", padded["x"].as_str().unwrap()));
    let mut listless = KeyPair::p256().jwk("listless");
    listless["key_ops"] = json!("verify");
    let mut nameless = KeyPair::p256().jwk("");
    nameless.as_object_mut().unwrap().remove("kid");
    let doubled = KeyPair::ed25519().jwk("good");
    let api = api_of(&[padded, listless, nameless, key.jwk("good"), doubled]).await;
    accepted(&api, key.bearer_named("good", &good_claims())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_keys_is_read_again_when_it_changes_and_what_is_no_set_changes_nothing() {
    let (old, new) = (KeyPair::p256(), KeyPair::p256());
    let file = KeyFile::of(&[old.jwk("old")]);
    let api = api_with("JWT_JWKS_FILE", file.0.display()).await;
    refused(&api, new.bearer_named("new", &good_claims()), UNKNOWN).await;
    file.write("half a se");
    accepted(&api, old.bearer_named("old", &good_claims())).await;
    file.write(&set_of(&[new.jwk("new")]));
    eventually("the new key counts", async || {
        (status(&api, new.bearer_named("new", &good_claims())).await == 404).then_some(())
    })
    .await;
    refused(&api, old.bearer_named("old", &good_claims()), UNKNOWN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_away_is_waited_for_and_its_keys_outlast_it() {
    let (issuer, old) = (Issuer::start().await, KeyPair::p256());
    let api = api_with("JWT_JWKS_URL", &issuer.url).await;
    // It is away.
    let early = with_tokens(&api, &[old.bearer_named("old", &good_claims())]).await;
    assert_eq!(early.problem(), (503, "TOKEN_KEYS_UNAVAILABLE".to_owned()));
    assert_eq!(early.header("retry-after"), Some("1"));
    assert!(!is_ready(api.management_port).await);

    issuer.show(&[old.jwk("old")]);
    until_ready(api.management_port).await;
    accepted(&api, old.bearer_named("old", &good_claims())).await;
    issuer.leave();
    accepted(&api, old.bearer_named("old", &good_claims())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_accepted_at_once_and_made_up_ones_ask_the_issuer_once() {
    let (issuer, old, new) = (Issuer::start().await, KeyPair::p256(), KeyPair::p256());
    issuer.show(&[old.jwk("old")]);
    let api = api_with("JWT_JWKS_URL", &issuer.url).await;
    until_ready(api.management_port).await;
    issuer.show(&[old.jwk("old"), new.jwk("new")]);
    accepted(&api, new.bearer_named("new", &good_claims())).await;
    let asked = issuer.asked();
    for made_up in 0..10 {
        let token = new.bearer_named(&format!("made-up-{made_up}"), &good_claims());
        refused(&api, token, UNKNOWN).await;
    }
    assert_eq!(issuer.asked(), asked);
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
