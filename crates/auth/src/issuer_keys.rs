//! The keys of an issuer, and how they are refreshed. A file is read again when it changes. A URL
//! is read again at an interval, and when a token names an unknown key. If a read fails, the
//! previous keys stay valid.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use futures::FutureExt;
use reqwest::Client;
use reqwest::redirect::Policy;
use service_kit::Chain;
use service_kit::credentials::Watched;
use service_kit::health::ProbeFuture;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::claims::{Check, TokenError};
use crate::jwks::KeySet;
use crate::settings::{TokenSettings, read_key_set};

/// Timeout of a request to the issuer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Minimum interval between two requests for an unknown key, so that invented key ids do not cause
/// a request each.
const MIN_FETCH_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between two requests while there are no keys.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum size of a set, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

enum Source {
    File { path: PathBuf, watched: Watched },
    Url { client: Client, url: Url, interval: Duration },
}

/// The keys of an issuer, each with the checks for its tokens.
pub(crate) struct IssuerKeys {
    source: Source,
    settings: TokenSettings,
    current: RwLock<Option<Arc<HashMap<String, Check>>>>,
    /// When the keys were last requested because of an unknown `kid`. The lock is held during the
    /// request, so that there is one request at a time.
    last_fetch: Mutex<Option<Instant>>,
}

impl IssuerKeys {
    /// The keys of the file or the URL in the settings, or `None` if neither is set.
    pub(crate) fn new(settings: &TokenSettings) -> reqwest::Result<Option<Self>> {
        let source = match (&settings.jwt_jwks_file, &settings.jwt_jwks_url) {
            (Some(file), _) => {
                Source::File { path: file.path.clone(), watched: file.watched.clone() }
            }
            (None, Some(url)) => Source::Url {
                // A redirect could lead to an unencrypted URL.
                client: Client::builder()
                    .timeout(REQUEST_TIMEOUT)
                    .redirect(Policy::none())
                    .build()?,
                url: url.clone(),
                interval: settings.jwt_jwks_refresh_interval,
            },
            (None, None) => return Ok(None),
        };
        let (current, last_fetch) = (RwLock::default(), Mutex::default());
        let keys = Self { source, settings: settings.clone(), current, last_fetch };
        if let Some(file) = &settings.jwt_jwks_file {
            keys.replace(&file.keys);
        }
        Ok(Some(keys))
    }

    /// Looks up a key by its `kid`.
    pub(crate) fn find<T>(
        &self,
        kid: &str,
        found: impl FnOnce(&Check) -> T,
    ) -> Result<T, TokenError> {
        let current = self.current().ok_or(TokenError::NoKeys)?;
        current.get(kid).map(found).ok_or(TokenError::UnknownKeyId)
    }

    /// Whether keys can be requested from the issuer.
    pub(crate) fn can_fetch(&self) -> bool {
        matches!(self.source, Source::Url { .. })
    }

    /// Requests the keys from the issuer if `kid` is unknown, unless the last request was a moment
    /// ago.
    pub(crate) async fn fetch_if_unknown(&self, kid: &str) {
        let mut last_fetch = self.last_fetch.lock().await;
        let is_known = self.current().is_some_and(|current| current.contains_key(kid));
        let may_fetch =
            last_fetch.is_none_or(|last_fetch| last_fetch.elapsed() >= MIN_FETCH_INTERVAL);
        if !is_known && may_fetch {
            // Set before the request, which is cancelled if the client disconnects.
            *last_fetch = Some(Instant::now());
            self.reload().await;
        }
    }

    /// Keeps the keys up to date until `shutdown`.
    pub(crate) async fn refresh(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        match &self.source {
            Source::File { watched, .. } => {
                let mut watched = watched.clone();
                while shutdown.run_until_cancelled(watched.changed()).await.is_some() {
                    if self.reload().await {
                        watched.accept();
                    }
                }
            }
            Source::Url { interval, .. } => loop {
                self.reload().await;
                let pause = if self.current().is_some() { *interval } else { RETRY_INTERVAL };
                if shutdown.run_until_cancelled(sleep(pause)).await.is_none() {
                    break;
                }
            },
        }
        Ok(())
    }

    /// A readiness probe: whether there are keys.
    pub(crate) fn probe(self: &Arc<Self>) -> ProbeFuture {
        let there = self.current().is_some();
        async move { if there { Ok(()) } else { Err("no keys from the issuer yet".into()) } }
            .boxed()
    }

    /// Returns whether the read succeeded. If not, the previous keys stay valid.
    async fn reload(&self) -> bool {
        let read = match &self.source {
            Source::File { path, .. } => read_key_set(path),
            Source::Url { client, url, .. } => fetch(client, url).await,
        };
        match read {
            Ok(keys) => {
                self.replace(&keys);
                true
            }
            Err(error) => {
                tracing::error!(
                    origin = %self.origin(),
                    error,
                    "cannot read the issuer keys; keys that were read before stay valid"
                );
                false
            }
        }
    }

    fn replace(&self, keys: &KeySet) {
        keys.report(&self.origin());
        let check = |(kid, key): (&String, _)| (kid.clone(), Check::new(key, &self.settings));
        let checks: HashMap<String, Check> = keys.iter().map(check).collect();
        tracing::info!(origin = %self.origin(), keys = checks.len(), "issuer keys read");
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
        let mut response = client.get(url.clone()).send().await?.error_for_status()?;
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            text.extend_from_slice(&chunk);
            if text.len() > MAX_BYTES {
                break;
            }
        }
        Ok(text)
    };
    let text = text.await.map_err(|error: reqwest::Error| Chain(&error).to_string())?;
    let text =
        String::from_utf8(text).map_err(|_| "is not a JWK Set: it is not UTF-8".to_owned())?;
    KeySet::from_json(&text)
}
