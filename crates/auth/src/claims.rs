//! The claims of a token: how they are checked, and the caller that they name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::Owner;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{DecodingKey, Validation, decode};
use serde::Deserialize;
use serde_json::Value;

use crate::keys::VerificationKey;
use crate::settings::TokenSettings;

/// Tolerance for the issuer's clock, in seconds.
const LEEWAY: u64 = 30;

/// The longest time that callers count with, for a token that never expires.
const LONGEST: Duration = Duration::from_hours(24 * 365);

/// The sender of a request, from its token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The owner of the orders that the caller creates.
    pub owner: Owner,
    role: Option<String>,
    /// When the token expires, in seconds since 1970, with the tolerance for the issuer's clock.
    expires_at: u64,
}

impl Caller {
    /// A caller without a role, whose token does not expire.
    pub const fn without_role(owner: Owner) -> Self {
        Self { owner, role: None, expires_at: u64::MAX }
    }

    /// Time until the token expires, with the tolerance for the issuer's clock; a year if that is
    /// later.
    pub fn time_left(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Duration::from_secs(self.expires_at).saturating_sub(now).min(LONGEST)
    }

    /// Whether the caller has access to the orders of all owners.
    pub fn is_operator(&self) -> bool {
        self.role.as_deref() == Some("operator")
    }

    /// The owner whose orders the caller may see; `None` (all owners) for an operator.
    pub fn owner_filter(&self) -> Option<&Owner> {
        (!self.is_operator()).then_some(&self.owner)
    }
}

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is no bearer token.
    #[error("a bearer token is required")]
    Missing,
    /// There is more than one `Authorization` header.
    #[error("there is more than one Authorization header")]
    Ambiguous,
    /// The `Authorization` header is too long.
    #[error("the Authorization header is longer than 8192 bytes")]
    TooLong,
    /// `exp` is in the past.
    #[error("the token has expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("the token is not valid yet")]
    Immature,
    /// It is not a signed JWT.
    #[error("the token is not a signed JWT")]
    Malformed,
    /// `alg` is not that of its key.
    #[error("the token's alg does not match the algorithm of its key")]
    Algorithm,
    /// There is no `kid`, and the key is one of a set.
    #[error("the token has no kid, which selects its key")]
    NoKeyId,
    /// `kid` is not that of a known key.
    #[error("the token's kid does not match a known key")]
    UnknownKeyId,
    /// The keys of the issuer were not read yet.
    #[error("the keys that verify tokens were not read from the issuer yet; retry later")]
    NoKeys,
    /// The signature is not that of its key.
    #[error("the token's signature does not match its key")]
    Signature,
    /// A claim is missing or malformed.
    #[error("the token's {0} claim is missing or malformed")]
    NoClaim(&'static str),
    /// A claim does not have the value of the settings.
    #[error("the token's {0} claim does not have the expected value")]
    WrongClaim(&'static str),
    /// It has a critical extension.
    #[error("the token has a critical extension, and none is supported")]
    Critical,
    /// It is invalid for another reason.
    #[error("the token is invalid")]
    Invalid,
}

impl From<Error> for TokenError {
    /// The error without any content of the token.
    fn from(error: Error) -> Self {
        match error.kind() {
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

/// The static name of a claim that is verified.
fn claim_name(claim: &str) -> Option<&'static str> {
    ["exp", "nbf", "sub", "iss", "aud"].into_iter().find(|known| *known == claim)
}

/// Claims of any JSON type, so that an error can name a claim with the wrong type.
#[derive(Deserialize)]
pub(crate) struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    role: Value,
    #[serde(default)]
    exp: Value,
}

impl Claims {
    pub(crate) fn caller(self) -> Result<Caller, TokenError> {
        let Value::String(sub) = self.sub else { return Err(TokenError::NoClaim("sub")) };
        let role = match self.role {
            Value::Null => None,
            Value::String(role) => Some(role),
            _ => return Err(TokenError::NoClaim("role")),
        };
        let owner = Owner::try_from(sub).map_err(|_| TokenError::NoClaim("sub"))?;
        // `exp` was checked, and may have a fraction (RFC 7519, section 2).
        let exp = self.exp.as_u64().or_else(|| self.exp.as_f64().map(whole_seconds));
        let expires_at = exp.unwrap_or_default().saturating_add(LEEWAY);
        Ok(Caller { owner, role, expires_at })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn whole_seconds(exp: f64) -> u64 {
    exp as u64
}

/// One key, with the checks for its tokens.
pub(crate) struct Check {
    key: DecodingKey,
    validation: Validation,
}

impl Check {
    pub(crate) fn new(key: &VerificationKey, settings: &TokenSettings) -> Self {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        // The library checks a claim that is not required only if it is present.
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

    pub(crate) fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let token = decode::<Claims>(token, &self.key, &self.validation)?;
        // A critical extension must be understood, and none is (RFC 7515, section 4.1.11).
        if token.header.crit.is_some() { Err(TokenError::Critical) } else { Ok(token.claims) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_never_expires_lasts_for_a_year_and_an_expired_one_for_no_time() {
        let left = |expires_at| {
            let owner = "alice".to_owned().try_into().unwrap();
            Caller { owner, role: None, expires_at }.time_left()
        };
        assert_eq!(left(u64::MAX), LONGEST);
        assert_eq!(left(0), Duration::ZERO);
    }
}
