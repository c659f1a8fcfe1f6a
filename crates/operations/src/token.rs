//! Tokens: signed here with the shared secret, or given by the caller.

use std::time::{Duration, SystemTime, SystemTimeError, UNIX_EPOCH};

use conf::Conf;
use domain::{Owner, TextError};
use jsonwebtoken::{EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use service_kit::config::parse_jwt_secret;
use service_kit::jwt;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The clock is wrong.
    #[error("the system clock is before 1970")]
    Clock(#[from] SystemTimeError),
    /// The token could not be signed.
    #[error("cannot sign the token")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// Neither of the two settings has a value.
    #[error("set JWT_SECRET or API_TOKEN")]
    NoSecret,
}

/// Settings for signing a token.
#[derive(Debug, Conf)]
pub struct TokenSettings {
    /// Secret that signs the token (HS256), the same as `JWT_SECRET` of the API; required
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    jwt_secret: SecretString,

    #[conf(flatten)]
    claims: ClaimSettings,
}

/// How a command authenticates to the API: with `JWT_SECRET` or with `API_TOKEN`.
#[derive(Debug, Conf)]
#[conf(one_of_fields(jwt_secret, api_token))]
pub struct AccessSettings {
    /// Secret that signs a token (HS256), the same as `JWT_SECRET` of the API; set exactly one of
    /// `JWT_SECRET` and `API_TOKEN`
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    jwt_secret: Option<SecretString>,

    /// Token to send unchanged; its subject and role apply
    #[conf(env, secret, value_parser = parse_token)]
    api_token: Option<SecretString>,

    #[conf(flatten)]
    claims: ClaimSettings,
}

/// Optional claims of a signed token.
#[derive(Debug, Conf)]
struct ClaimSettings {
    /// Issuer of the token (`iss`), where the API requires one
    #[conf(env)]
    jwt_issuer: Option<String>,

    /// Audience of the token (`aud`), where the API requires one
    #[conf(env)]
    jwt_audience: Option<String>,
}

/// Parses the subject of a token, with the rules of the API.
pub fn parse_subject(text: &str) -> Result<Owner, TextError> {
    Owner::try_from(text.to_owned())
}

fn parse_token(text: &str) -> Result<SecretString, &'static str> {
    let fits_a_header = text.bytes().all(|byte| byte.is_ascii_graphic());
    if fits_a_header { Ok(text.into()) } else { Err("must be a token without white space") }
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    iat: u64,
    exp: u64,
}

impl TokenSettings {
    /// A token for `subject` that is valid from now on.
    pub fn mint(
        &self,
        subject: &str,
        operator: bool,
        valid: Duration,
    ) -> Result<String, TokenError> {
        self.claims.mint(&self.jwt_secret, subject, operator, valid)
    }
}

impl AccessSettings {
    /// `API_TOKEN` if it is set, otherwise a new token for `subject` that is valid from now on.
    pub fn token(
        &self,
        subject: &str,
        operator: bool,
        valid: Duration,
    ) -> Result<String, TokenError> {
        match (&self.api_token, &self.jwt_secret) {
            (Some(token), _) => Ok(token.expose_secret().to_owned()),
            (None, Some(secret)) => self.claims.mint(secret, subject, operator, valid),
            (None, None) => Err(TokenError::NoSecret),
        }
    }

    /// The remaining validity of a token that was signed here.
    pub fn hint(&self) -> &'static str {
        if self.api_token.is_some() { "" } else { " (the token is valid for an hour)" }
    }

    /// The token as shown in a printed command line. The value of `API_TOKEN` is not printed.
    pub fn shown<'a>(&self, token: &'a str) -> &'a str {
        if self.api_token.is_some() { "$API_TOKEN" } else { token }
    }
}

impl ClaimSettings {
    fn mint(
        &self,
        secret: &SecretString,
        subject: &str,
        operator: bool,
        valid: Duration,
    ) -> Result<String, TokenError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let claims = Claims {
            sub: subject,
            role: operator.then_some("operator"),
            iss: self.jwt_issuer.as_deref(),
            aud: self.jwt_audience.as_deref(),
            iat: now.as_secs(),
            exp: (now + valid).as_secs(),
        };
        jwt::use_openssl();
        let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
        Ok(encode(&Header::default(), &claims, &key)?)
    }
}
