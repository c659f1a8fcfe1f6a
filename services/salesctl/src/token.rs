//! Tokens: made here by whoever knows the secret, or brought along.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conf::Conf;
use domain::{Owner, TextError};
use jsonwebtoken::{EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use service_kit::config::parse_jwt_secret;

use crate::failure::Failure;

/// What a token is made of.
#[derive(Conf)]
pub(crate) struct TokenSettings {
    /// Secret that the API checks tokens with. Where it has a public key instead, tokens come from whoever has the
    /// private one, not from here
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    jwt_secret: SecretString,

    #[conf(flatten)]
    names: Names,
}

/// How a command that talks to the API identifies itself: `JWT_SECRET` or `API_TOKEN`, one of the two.
#[derive(Conf)]
#[conf(one_of_fields(jwt_secret, api_token))]
pub(crate) struct AccessSettings {
    /// Secret that the API checks tokens with, to make a token here
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    jwt_secret: Option<SecretString>,

    /// Token to use as it is, where the API has a public key; subject and role are those that it names
    #[conf(env, secret, value_parser = parse_token)]
    api_token: Option<SecretString>,

    #[conf(flatten)]
    names: Names,
}

/// What a token has to say beside its subject.
#[derive(Conf)]
struct Names {
    /// Issuer to name (`iss`), where the API asks for one
    #[conf(env)]
    jwt_issuer: Option<String>,

    /// Audience to name (`aud`), where the API asks for one
    #[conf(env)]
    jwt_audience: Option<String>,
}

/// Reads whom a token is for, as the API will.
pub(crate) fn parse_subject(text: &str) -> Result<Owner, TextError> {
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
    pub(crate) fn mint(
        &self,
        subject: &str,
        operator: bool,
        valid: Duration,
    ) -> Result<String, Failure> {
        self.names.mint(&self.jwt_secret, subject, operator, valid)
    }
}

impl AccessSettings {
    /// The token that was brought along, or one for `subject` that is valid from now on.
    pub(crate) fn token(
        &self,
        subject: &str,
        operator: bool,
        valid: Duration,
    ) -> Result<String, Failure> {
        match (&self.api_token, &self.jwt_secret) {
            (Some(token), _) => Ok(token.expose_secret().to_owned()),
            (None, Some(secret)) => self.names.mint(secret, subject, operator, valid),
            (None, None) => Err("set JWT_SECRET or API_TOKEN".into()),
        }
    }

    /// What to know about a token that was made here.
    pub(crate) fn hint(&self) -> &'static str {
        if self.api_token.is_some() { "" } else { " (the token is good for an hour)" }
    }

    /// The token for a command line that is shown. One that was brought along is not repeated there.
    pub(crate) fn shown<'a>(&self, token: &'a str) -> &'a str {
        if self.api_token.is_some() { "$API_TOKEN" } else { token }
    }
}

impl Names {
    fn mint(
        &self,
        secret: &SecretString,
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
        let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
        Ok(encode(&Header::default(), &claims, &key)?)
    }
}
