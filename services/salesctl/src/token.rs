//! Making tokens, for whoever knows the secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conf::Conf;
use jsonwebtoken::{EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use service_kit::config::parse_jwt_secret;

use crate::failure::Failure;

/// What a token is signed with, and what it has to say beside its subject.
#[derive(Conf)]
pub(crate) struct TokenSettings {
    /// Secret that the API checks tokens with
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    jwt_secret: SecretString,

    /// Issuer to name (`iss`), where the API asks for one
    #[conf(env)]
    jwt_issuer: Option<String>,

    /// Audience to name (`aud`), where the API asks for one
    #[conf(env)]
    jwt_audience: Option<String>,
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
    pub(crate) fn mint(
        &self,
        subject: &str,
        operator: bool,
        valid: Duration,
    ) -> Result<String, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let claims = Claims {
            sub: subject,
            role: operator.then_some("operator"),
            iss: self.jwt_issuer.as_deref(),
            aud: self.jwt_audience.as_deref(),
            iat: now.as_secs(),
            exp: (now + valid).as_secs(),
        };
        let key = EncodingKey::from_secret(self.jwt_secret.expose_secret().as_bytes());
        Ok(encode(&Header::default(), &claims, &key)?)
    }
}
