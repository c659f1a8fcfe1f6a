//! Where the keys come from that verify tokens.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use conf::Conf;
use secrecy::SecretString;
use service_kit::config::{parse_jwt_secret, timeout_millis};
use service_kit::credentials::Watched;
use url::Url;

use crate::jwks::KeySet;
use crate::keys::VerificationKey;

/// Verification of tokens. The key comes from exactly one of the first four settings.
#[derive(Clone, Debug, Conf)]
#[conf(one_of_fields(jwt_secret, jwt_public_key, jwt_jwks_file, jwt_jwks_url))]
pub struct TokenSettings {
    /// Secret that tokens are signed with (HS256), at least 32 bytes; set exactly one of
    /// `JWT_SECRET`, `JWT_PUBLIC_KEY`, `JWT_JWKS_FILE` and `JWT_JWKS_URL`
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    pub(crate) jwt_secret: Option<SecretString>,

    // Marked as a secret, so that a private key that is set by mistake is not shown.
    /// Public key that verifies tokens, in PEM, whose line ends may be written as `\n`: RSA
    /// (RS256), EC P-256 (ES256) or Ed25519 (`EdDSA`)
    #[conf(env, secret, value_parser = VerificationKey::from_pem)]
    pub(crate) jwt_public_key: Option<VerificationKey>,

    /// Path of a JWK Set with the public keys that verify tokens, selected by `kid`; read again
    /// when it changes
    #[conf(env, value_parser = KeyFile::read)]
    pub(crate) jwt_jwks_file: Option<KeyFile>,

    /// URL of the issuer's JWK Set, with https; read again when a token names an unknown `kid`
    #[conf(env, value_parser = parse_url)]
    pub(crate) jwt_jwks_url: Option<Url>,

    /// Interval between two reads of `JWT_JWKS_URL`, in milliseconds
    #[conf(env, default_value = "300000", value_parser = timeout_millis)]
    pub(crate) jwt_jwks_refresh_interval: Duration,

    /// Issuer that a token must name (`iss`); any issuer when unset
    #[conf(env)]
    pub(crate) jwt_issuer: Option<String>,

    /// Audience that a token must name (`aud`); any audience when unset
    #[conf(env)]
    pub(crate) jwt_audience: Option<String>,
}

impl TokenSettings {
    /// The secret that tokens are signed with, if it is one.
    pub const fn secret(&self) -> Option<&SecretString> {
        self.jwt_secret.as_ref()
    }
}

/// A file with the keys of an issuer, and its content.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    pub(crate) path: PathBuf,
    pub(crate) keys: KeySet,
    pub(crate) watched: Watched,
}

impl KeyFile {
    /// Reads a file. Fails if it contains no usable key.
    fn read(path: &str) -> Result<Self, String> {
        let path = PathBuf::from(path);
        let watched = Watched::new(vec![path.clone()]);
        Ok(Self { keys: read_key_set(&path)?, watched, path })
    }
}

/// Reads a JWK Set from a file.
pub(crate) fn read_key_set(path: &Path) -> Result<KeySet, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    KeySet::from_json(&text)
}

/// Requires https, because an attacker between this host and the issuer could replace the keys.
fn parse_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_local => Ok(url),
        _ => Err("must begin with https:// (http:// only for localhost)".to_owned()),
    }
}
