//! Where the keys of an issuer are found, and how they stay up to date: a file is read again when it changes, a URL now and
//! then, and when a token names a key that is not known yet. What was read last counts until something better is read.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use reqwest::Client;
use reqwest::redirect::Policy;
use service_kit::Chain;
use service_kit::credentials::Watched;
use service_kit::health::Look;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Check, KeySet, TokenError};
use crate::config::TokenSettings;

/// How long an issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two questions for a key that is not known: whoever makes up its name does not make this service call.
const COOL_DOWN: Duration = Duration::from_secs(5);
/// Between two questions while there are no keys at all.
const IMPATIENCE: Duration = Duration::from_secs(1);
/// The most bytes of a set.
const MOST_BYTES: usize = 1024 * 1024;

/// A file with the keys of an issuer, and what was in it.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    keys: KeySet,
    watched: Watched,
}

impl KeyFile {
    /// Reads a file that has a key which can be used.
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let watched = Watched::new(vec![path.clone()]);
        Ok(Self { keys: read(&path)?, watched, path })
    }
}

fn read(path: &Path) -> Result<KeySet, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    KeySet::from_json(&text)
}

/// Whoever is in between could put keys of their own into the answer.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is no URL: {error}"))?;
    let is_here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err("must begin with https:// (http:// only on this host)".to_owned()),
    }
}

enum Source {
    File { path: PathBuf, watched: Watched },
    Url { client: Client, url: Url, interval: Duration },
}

/// The keys of an issuer, with what a token that is signed with them has to fulfil.
pub(super) struct IssuerKeys {
    source: Source,
    settings: TokenSettings,
    current: RwLock<Option<Arc<HashMap<String, Check>>>>,
    /// When the issuer was last asked for a key. Whoever asks holds it, so that there is one question at a time.
    asked: Mutex<Option<Instant>>,
}

impl IssuerKeys {
    /// The keys of the file or the URL in the settings, if there is one.
    pub(super) fn new(settings: &TokenSettings) -> reqwest::Result<Option<Self>> {
        let source = match (&settings.jwt_jwks_file, &settings.jwt_jwks_url) {
            (Some(file), _) => {
                Source::File { path: file.path.clone(), watched: file.watched.clone() }
            }
            (None, Some(url)) => Source::Url {
                // A redirect could lead to where nothing is encrypted.
                client: Client::builder().timeout(PATIENCE).redirect(Policy::none()).build()?,
                url: url.clone(),
                interval: settings.jwt_jwks_refresh_interval,
            },
            (None, None) => return Ok(None),
        };
        let (current, asked) = (RwLock::default(), Mutex::default());
        let keys = Self { source, settings: settings.clone(), current, asked };
        if let Some(file) = &settings.jwt_jwks_file {
            keys.replace(&file.keys);
        }
        Ok(Some(keys))
    }

    /// Looks up a key by its name.
    pub(super) fn find<T>(
        &self,
        kid: &str,
        found: impl FnOnce(&Check) -> T,
    ) -> Result<T, TokenError> {
        let current = self.current().ok_or(TokenError::NoKeys)?;
        current.get(kid).map(found).ok_or(TokenError::UnknownKeyId)
    }

    /// Whether there is somebody who can be asked for a key.
    pub(super) fn can_ask(&self) -> bool {
        matches!(self.source, Source::Url { .. })
    }

    /// Asks the issuer for a key that is not known, unless it was asked a moment ago.
    pub(super) async fn look_for(&self, kid: &str) {
        let mut asked = self.asked.lock().await;
        let is_known = self.current().is_some_and(|current| current.contains_key(kid));
        let is_cool = asked.is_none_or(|asked| asked.elapsed() >= COOL_DOWN);
        if !is_known && is_cool {
            // Before the answer: whoever asks may leave without waiting for it.
            *asked = Some(Instant::now());
            self.read_again().await;
        }
    }

    /// Keeps the keys up to date until `shutdown`.
    pub(super) async fn keep(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        match &self.source {
            Source::File { watched, .. } => {
                let mut watched = watched.clone();
                while shutdown.run_until_cancelled(watched.changed()).await.is_some() {
                    if self.read_again().await {
                        watched.accept();
                    }
                }
            }
            Source::Url { interval, .. } => loop {
                self.read_again().await;
                let pause = if self.current().is_some() { *interval } else { IMPATIENCE };
                if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
                    break;
                }
            },
        }
        Ok(())
    }

    /// A readiness check: whether there are keys.
    pub(super) fn look(self: &Arc<Self>) -> Look {
        let there = self.current().is_some();
        async move { if there { Ok(()) } else { Err("the issuer has not answered yet".into()) } }
            .boxed()
    }

    /// Returns whether there was something to read. What was read before counts until then.
    async fn read_again(&self) -> bool {
        let read = match &self.source {
            Source::File { path, .. } => read(path),
            Source::Url { client, url, .. } => fetch(client, url).await,
        };
        match read {
            Ok(keys) => {
                self.replace(&keys);
                true
            }
            Err(fault) => {
                tracing::error!(origin = %self.origin(), fault, "keys of the issuer not read");
                false
            }
        }
    }

    fn replace(&self, keys: &KeySet) {
        keys.report(&self.origin());
        let check = |(kid, key): (&String, _)| (kid.clone(), Check::new(key, &self.settings));
        let checks: HashMap<String, Check> = keys.iter().map(check).collect();
        tracing::info!(origin = %self.origin(), keys = checks.len(), "keys of the issuer read");
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(checks));
    }

    fn current(&self) -> Option<Arc<HashMap<String, Check>>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn origin(&self) -> String {
        match &self.source {
            Source::File { path, .. } => path.display().to_string(),
            Source::Url { url, .. } => url.to_string(),
        }
    }
}

async fn fetch(client: &Client, url: &Url) -> Result<KeySet, String> {
    let text = async {
        let mut answer = client.get(url.clone()).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await? {
            text.extend_from_slice(&chunk);
            if text.len() > MOST_BYTES {
                break;
            }
        }
        Ok(text)
    };
    let text = text.await.map_err(|error: reqwest::Error| Chain(&error).to_string())?;
    let text = String::from_utf8(text).map_err(|_| "is no JWK Set: it is no text".to_owned())?;
    KeySet::from_json(&text)
}
