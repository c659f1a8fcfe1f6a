//! Tokens: JWTs (RFC 7519), checked with one key.

use domain::Owner;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use secrecy::ExposeSecret;
use serde::Deserialize;

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
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet")]
    Immature,
    #[error("the token is invalid")]
    Invalid,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: Option<String>,
}

/// Checks tokens. The algorithm is fixed by the key, never by the token.
pub(crate) struct TokenVerifier {
    key: DecodingKey,
    validation: Validation,
}

impl TokenVerifier {
    pub(crate) fn new(settings: &TokenSettings) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
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
        let key = DecodingKey::from_secret(settings.jwt_secret.expose_secret().as_bytes());
        Self { key, validation }
    }

    /// The caller whom a token names.
    pub(crate) fn verify(&self, token: &str) -> Result<Caller, TokenError> {
        let claims = decode::<Claims>(token, &self.key, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                ErrorKind::ImmatureSignature => TokenError::Immature,
                _ => TokenError::Invalid,
            })?
            .claims;
        let owner = Owner::try_from(claims.sub).map_err(|_| TokenError::Invalid)?;
        Ok(Caller { owner, role: claims.role })
    }
}
