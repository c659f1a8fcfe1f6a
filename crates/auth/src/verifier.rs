//! Verifies tokens with the keys of the settings.

use std::convert::Infallible;
use std::sync::Arc;

use jsonwebtoken::decode_header;
use secrecy::ExposeSecret;
use service_kit::health::ProbeFuture;
use tokio_util::sync::CancellationToken;

use crate::claims::{Caller, Check, TokenError};
use crate::issuer_keys::IssuerKeys;
use crate::keys::VerificationKey;
use crate::settings::TokenSettings;

/// Verifies tokens. The key determines the algorithm, never the token. Cheap to clone.
#[derive(Clone)]
pub struct TokenVerifier(Keys);

#[derive(Clone)]
enum Keys {
    /// The only key.
    One(Arc<Check>),
    /// A token names its key by `kid`.
    OfIssuer(Arc<IssuerKeys>),
}

impl TokenVerifier {
    /// A verifier that has not fetched any keys yet. Fails if the client for them cannot be built.
    pub fn new(settings: &TokenSettings) -> reqwest::Result<Self> {
        if let Some(keys) = IssuerKeys::new(settings)? {
            return Ok(Self(Keys::OfIssuer(Arc::new(keys))));
        }
        let secret = settings.jwt_secret.as_ref();
        let key = secret
            .map(|secret| VerificationKey::from_secret(secret.expose_secret().as_bytes()))
            .or_else(|| settings.jwt_public_key.clone());
        // The settings contain exactly one of the four keys.
        let Some(key) = key else { unreachable!("no token key is configured") };
        Ok(Self(Keys::One(Arc::new(Check::new(&key, settings)))))
    }

    /// Verifies a token, and returns its caller.
    pub fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let claims = match &self.0 {
            Keys::One(check) => check.claims(token),
            Keys::OfIssuer(keys) => keys.find(&kid(token)?, |check| check.claims(token))?,
        };
        claims?.caller()
    }

    /// Whether keys can be requested from an issuer.
    pub fn can_fetch(&self) -> bool {
        matches!(&self.0, Keys::OfIssuer(keys) if keys.can_fetch())
    }

    /// Requests the key of a token from the issuer, if it is unknown.
    pub async fn fetch_key_of(&self, token: &str) {
        if let Keys::OfIssuer(keys) = &self.0
            && let Ok(kid) = kid(token)
            && keys.find(&kid, |_| ()).is_err()
        {
            keys.fetch_if_unknown(&kid).await;
        }
    }

    /// Keeps the keys up to date until `shutdown`.
    pub async fn refresh_keys(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        match &self.0 {
            Keys::One(_) => shutdown.cancelled().await,
            Keys::OfIssuer(keys) => keys.refresh(shutdown).await?,
        }
        Ok(())
    }

    /// A readiness probe, if the keys can be missing.
    pub fn probe(&self) -> Option<impl Fn() -> ProbeFuture + Send + Sync + use<>> {
        match &self.0 {
            Keys::One(_) => None,
            Keys::OfIssuer(keys) => {
                let keys = keys.clone();
                Some(move || keys.probe())
            }
        }
    }
}

fn kid(token: &str) -> Result<String, TokenError> {
    decode_header(token)?.kid.ok_or(TokenError::NoKeyId)
}
