//! Tokens: JWTs (RFC 7519), checked with a secret, with a public key, or with the keys of a set.
//!
//! What a token says about itself decides nothing but which key of the set is tried.

mod issuer_keys;
mod jwks;
mod keys;

use std::convert::Infallible;
use std::sync::Arc;

use domain::Owner;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use service_kit::health::Look;
use tokio_util::sync::CancellationToken;

use self::issuer_keys::IssuerKeys;
pub(crate) use self::issuer_keys::{KeyFile, parse_url};
use self::jwks::KeySet;
pub(crate) use self::keys::VerificationKey;
use crate::config::TokenSettings;

/// How far the issuer's clock may be off, in seconds.
const LEEWAY: u64 = 30;

/// Who sent a request, as its token says.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Owns what it creates.
    pub(crate) owner: Owner,
    role: Option<String>,
}

impl Caller {
    /// Somebody without a role.
    #[cfg(test)]
    pub(crate) fn named(owner: &str) -> Self {
        Self { owner: Owner::try_from(owner.to_owned()).unwrap(), role: None }
    }

    /// Whether the caller acts for everybody.
    pub(crate) fn is_operator(&self) -> bool {
        self.role.as_deref() == Some("operator")
    }

    /// Whose orders the caller may see: everybody's (`None`) for an operator, otherwise its own.
    pub(crate) fn sees_only(&self) -> Option<&Owner> {
        (!self.is_operator()).then_some(&self.owner)
    }
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("a bearer token is required")]
    Missing,
    #[error("there is more than one Authorization header")]
    Ambiguous,
    #[error("the Authorization header is longer than 8192 bytes")]
    TooLong,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Immature,
    #[error("the token is no signed JWT")]
    Malformed,
    #[error("the token's alg is not the algorithm of the key that it is checked with")]
    Algorithm,
    #[error("the token names no kid, which says what key it is signed with")]
    NoKeyId,
    #[error("the token's kid is not that of a key which is known here")]
    UnknownKeyId,
    #[error("the keys that tokens are checked with could not be read from their issuer yet")]
    NoKeys,
    #[error("the token is not signed with the key that it is checked with")]
    Signature,
    #[error("the token's {0} claim is missing or has a wrong form")]
    NoClaim(&'static str),
    #[error("the token's {0} claim is not the one that is expected here")]
    WrongClaim(&'static str),
    #[error("the token has a critical extension, and none is known here")]
    Critical,
    #[error("the token is invalid")]
    Invalid,
}

impl TokenError {
    /// What is wrong, without a word of what the token says.
    fn of(error: &ErrorKind) -> Self {
        match error {
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::Immature,
            ErrorKind::InvalidAlgorithm => Self::Algorithm,
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::InvalidIssuer => Self::WrongClaim("iss"),
            ErrorKind::InvalidAudience => Self::WrongClaim("aud"),
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                claim_name(claim).map_or(Self::Invalid, Self::NoClaim)
            }
            ErrorKind::InvalidToken
            | ErrorKind::Base64(_)
            | ErrorKind::Json(_)
            | ErrorKind::Utf8(_) => Self::Malformed,
            _ => Self::Invalid,
        }
    }
}

/// The claims that are looked at.
fn claim_name(claim: &str) -> Option<&'static str> {
    ["exp", "nbf", "sub", "iss", "aud"].into_iter().find(|known| *known == claim)
}

/// Of any type, so that one of a wrong type can be named.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    role: Value,
}

impl Claims {
    fn caller(self) -> Result<Caller, TokenError> {
        let Value::String(sub) = self.sub else { return Err(TokenError::NoClaim("sub")) };
        let role = match self.role {
            Value::Null => None,
            Value::String(role) => Some(role),
            _ => return Err(TokenError::NoClaim("role")),
        };
        let owner = Owner::try_from(sub).map_err(|_| TokenError::NoClaim("sub"))?;
        Ok(Caller { owner, role })
    }
}

/// Checks tokens. The algorithm is fixed by the key, never by the token. Cheap to clone.
#[derive(Clone)]
pub(crate) struct TokenVerifier(Keys);

#[derive(Clone)]
enum Keys {
    /// The only key.
    One(Arc<Check>),
    /// A token names its key.
    OfIssuer(Arc<IssuerKeys>),
}

/// One key, with all that a token signed with it has to fulfil.
struct Check {
    key: DecodingKey,
    validation: Validation,
}

impl TokenVerifier {
    pub(crate) fn new(settings: &TokenSettings) -> reqwest::Result<Self> {
        if let Some(keys) = IssuerKeys::new(settings)? {
            return Ok(Self(Keys::OfIssuer(Arc::new(keys))));
        }
        let secret = settings.jwt_secret.as_ref();
        let key = secret
            .map(|secret| VerificationKey::from_secret(secret.expose_secret().as_bytes()))
            .or_else(|| settings.jwt_public_key.clone());
        // The settings have exactly one of the four.
        let Some(key) = key else { unreachable!("no key to check tokens with") };
        Ok(Self(Keys::One(Arc::new(Check::new(&key, settings)))))
    }

    /// The caller whom a token names.
    pub(crate) fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let claims = match &self.0 {
            Keys::One(check) => check.claims(token),
            Keys::OfIssuer(keys) => keys.find(&kid(token)?, |check| check.claims(token))?,
        };
        claims?.caller()
    }

    /// Whether there is an issuer that can be asked for keys.
    pub(crate) fn can_ask(&self) -> bool {
        matches!(&self.0, Keys::OfIssuer(keys) if keys.can_ask())
    }

    /// Asks the issuer for the key that a token names, where it is not known yet.
    pub(crate) async fn look_for_key_of(&self, token: &str) {
        if let Keys::OfIssuer(keys) = &self.0
            && let Ok(kid) = kid(token)
            && keys.find(&kid, |_| ()).is_err()
        {
            keys.look_for(&kid).await;
        }
    }

    /// Keeps the keys up to date until `shutdown`.
    pub(crate) async fn keep_keys(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        match &self.0 {
            Keys::One(_) => shutdown.cancelled().await,
            Keys::OfIssuer(keys) => keys.keep(shutdown).await?,
        }
        Ok(())
    }

    /// A readiness check, where there can be no keys.
    pub(crate) fn probe(&self) -> Option<impl Fn() -> Look + Send + Sync + use<>> {
        match &self.0 {
            Keys::One(_) => None,
            Keys::OfIssuer(keys) => {
                let keys = keys.clone();
                Some(move || keys.look())
            }
        }
    }
}

fn kid(token: &str) -> Result<String, TokenError> {
    let header = decode_header(token).map_err(|error| TokenError::of(error.kind()))?;
    header.kid.ok_or(TokenError::NoKeyId)
}

impl Check {
    fn new(key: &VerificationKey, settings: &TokenSettings) -> Self {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        // A claim that is required is also checked; one that is not is checked only where it is present.
        let mut required = vec!["exp", "sub"];
        match &settings.jwt_issuer {
            Some(issuer) => {
                validation.set_issuer(&[issuer]);
                required.push("iss");
            }
            None => validation.iss = None,
        }
        match &settings.jwt_audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        Self { key: key.key.clone(), validation }
    }

    fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let token = decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|error| TokenError::of(error.kind()))?;
        // What the token declares critical has to be understood, and no extension is (RFC 7515, section 4.1.11).
        if token.header.crit.is_some() { Err(TokenError::Critical) } else { Ok(token.claims) }
    }
}
