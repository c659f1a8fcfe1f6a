//! The settings of sales-api.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use conf::Conf;
use contracts::topics;
use secrecy::{ExposeSecret, SecretString};
use service_kit::build_info;
use service_kit::config::{
    CommonSettings, IntakeSettings, ServiceConfig, all_of, number_in, parse_base_url,
    parse_jwt_secret, parse_port, ports_differ, timeout_millis,
};
use store::DatabaseSettings;
use url::Url;
use uuid::Uuid;

use crate::tokens::{Caller, KeyFile, VerificationKey, parse_url};

/// sales-api: accepts orders over HTTP
#[derive(Clone, Debug, Conf)]
#[conf(version_fn = build_info::version, validation_predicate = Config::check)]
pub struct Config {
    #[conf(flatten)]
    pub(crate) common: CommonSettings,

    /// Port of the API
    #[conf(env, default_value = "3000", value_parser = parse_port)]
    pub(crate) port: u16,

    /// Port of `/livez`, `/readyz` and `/metrics`
    #[conf(env, default_value = "9101", value_parser = parse_port)]
    management_port: u16,

    /// Number of threads that serve requests
    #[conf(env, default_value = "2", value_parser = parse_workers)]
    pub(crate) http_workers: usize,

    #[conf(flatten)]
    pub(crate) intake: IntakeSettings,

    #[conf(flatten)]
    pub(crate) limits: LimitSettings,

    #[conf(flatten)]
    pub(crate) database: DatabaseSettings,

    #[conf(flatten)]
    pub(crate) tokens: TokenSettings,

    #[conf(flatten)]
    pub(crate) inventory: InventorySettings,

    /// Topic of `order.created` events
    #[conf(env, default(topics::ORDER_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) order_events_topic: String,

    /// Topic of `order.shipped` and `order.delivered` events
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_events_topic: String,

    /// Who may simulate a delivery: `owner` (the order's owner and operators), `operator` or
    /// `nobody`
    #[conf(env, default_value = "operator")]
    pub(crate) simulate_delivery: Simulators,

    /// Secret that encrypts list cursors, at least 32 bytes, the same for all replicas; when unset,
    /// `JWT_SECRET`, or else a random secret for each process
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    pub(crate) cursor_secret: Option<SecretString>,
}

/// Load limits of one process.
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = LimitSettings::check)]
pub(crate) struct LimitSettings {
    /// Maximum number of concurrent requests; further requests get a 503 at once, and requests of a
    /// subject that already has half of the permits get a 429
    #[conf(env, default_value = "512", value_parser = parse_permits)]
    pub(crate) max_concurrent_requests: usize,

    /// Maximum time to receive the head of a request, and separately its body, in milliseconds
    #[conf(env, default_value = "5000", value_parser = timeout_millis)]
    pub(crate) request_read_timeout: Duration,

    /// Maximum average number of requests per second of one subject to one instance; unlimited when
    /// unset
    #[conf(env, value_parser = parse_rate)]
    pub(crate) rate_limit_per_second: Option<NonZeroU32>,

    /// Maximum number of requests that one subject may send at once after a pause;
    /// `RATE_LIMIT_PER_SECOND` when unset
    #[conf(env, value_parser = parse_rate)]
    pub(crate) rate_limit_burst: Option<NonZeroU32>,

    /// Web origins whose pages may call the API from a browser, separated by commas; none when
    /// unset
    #[conf(env, value_parser = parse_origins)]
    pub(crate) cors_allowed_origins: Option<Origins>,
}

impl LimitSettings {
    fn check(&self) -> Result<(), &'static str> {
        if self.rate_limit_burst.is_some() && self.rate_limit_per_second.is_none() {
            return Err("RATE_LIMIT_BURST requires RATE_LIMIT_PER_SECOND");
        }
        Ok(())
    }
}

/// Upper bound of the rate settings: more requests per second than one process can serve.
const LARGEST_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(999_999);

/// Web origins (RFC 6454), as browsers send them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins(pub(crate) Vec<String>);

/// Who may simulate a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simulators {
    /// The order's owner and operators.
    Owner,
    /// Operators.
    Operator,
    /// No caller.
    Disabled,
}

impl Simulators {
    pub(crate) fn include(self, caller: &Caller) -> bool {
        match self {
            Self::Owner => true,
            Self::Operator => caller.is_operator(),
            Self::Disabled => false,
        }
    }
}

impl FromStr for Simulators {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "owner" => Ok(Self::Owner),
            "operator" => Ok(Self::Operator),
            "nobody" => Ok(Self::Disabled),
            _ => Err("must be owner, operator or nobody"),
        }
    }
}

/// Verification of tokens. The key comes from exactly one of the first four settings.
#[derive(Clone, Debug, Conf)]
#[conf(one_of_fields(jwt_secret, jwt_public_key, jwt_jwks_file, jwt_jwks_url))]
pub(crate) struct TokenSettings {
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

/// The inventory service and its circuit breaker.
#[derive(Clone, Debug, Conf)]
pub(crate) struct InventorySettings {
    /// Base URL of the inventory service, without a query
    #[conf(env, default_value = "http://127.0.0.1:3001", value_parser = parse_base_url)]
    pub(crate) inventory_url: Url,

    /// Maximum duration of one inventory check, retries included, in milliseconds
    #[conf(env, default_value = "5000", value_parser = timeout_millis)]
    pub(crate) circuit_breaker_timeout: Duration,

    /// Number of consecutive failed inventory checks that open the circuit breaker
    #[conf(env, default_value = "5", value_parser = parse_threshold)]
    pub(crate) circuit_breaker_failure_threshold: u32,

    /// Time after which an open circuit breaker lets one trial request through, in milliseconds
    #[conf(env, default_value = "30000", value_parser = timeout_millis)]
    pub(crate) circuit_breaker_reset_timeout: Duration,
}

impl Config {
    fn check(&self) -> Result<(), String> {
        all_of(&[ports_differ(self.port, self.management_port)])
    }

    /// The secret that encrypts cursors. If none is configured, it is random for each process.
    pub(crate) fn cursor_secret(&self) -> Vec<u8> {
        if let Some(secret) = self.cursor_secret.as_ref().or(self.tokens.jwt_secret.as_ref()) {
            return secret.expose_secret().as_bytes().to_vec();
        }
        tracing::warn!(
            "CURSOR_SECRET is not set: list cursors are valid in this process only; \
             set the same secret for all replicas"
        );
        Uuid::new_v4().into_bytes().to_vec()
    }
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonSettings {
        &self.common
    }

    fn management_port(&self) -> u16 {
        self.management_port
    }
}

fn parse_workers(text: &str) -> Result<usize, String> {
    number_in(text, 1..=256)
}

fn parse_permits(text: &str) -> Result<usize, String> {
    number_in(text, 1..=100_000)
}

fn parse_origins(text: &str) -> Result<Origins, String> {
    let origins = text.split(',').map(|origin| {
        let origin = origin.trim();
        // Browsers send an origin without path, trailing slash and default port.
        let canonical = Url::parse(origin).ok().map(|url| url.origin().ascii_serialization());
        if canonical.as_deref() == Some(origin) {
            Ok(origin.to_owned())
        } else {
            Err(format!("{origin:?} is not an origin such as https://shop.example"))
        }
    });
    origins.collect::<Result<_, _>>().map(Origins)
}

fn parse_rate(text: &str) -> Result<NonZeroU32, String> {
    number_in(text, NonZeroU32::MIN..=LARGEST_RATE)
}

fn parse_threshold(text: &str) -> Result<u32, String> {
    number_in(text, 1..=1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(env: &[(&str, &str)]) -> Result<Config, String> {
        Config::try_parse_from(["sales-api"], env.iter().copied())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn all_setting_errors_are_reported_without_secrets() {
        let report =
            parse(&[("JWT_SECRET", "too-short"), ("INVENTORY_URL", "ftp://x"), ("PORT", "99999")])
                .unwrap_err();
        let number = "must be a whole number from 0 to 65535";
        for name in ["JWT_SECRET", "INVENTORY_URL", "PORT", "DATABASE_URL", number] {
            assert!(report.contains(name), "{name} is missing in: {report}");
        }
        assert!(!report.contains("too-short"), "{report}");
    }

    #[test]
    fn exactly_one_token_key_is_required() {
        let database = ("DATABASE_URL", "postgres://sales:sales@localhost:5432/sales");
        let secret = ("JWT_SECRET", "0123456789abcdef0123456789abcdef");
        let public = (
            "JWT_PUBLIC_KEY",
            "-----BEGIN PUBLIC KEY-----\\nMCowBQYDK2VwAyEAevpFEvMbU8njMrsNjQvGacv4tu2bt8/qVhnw3qzGLtQ=\\n-----END PUBLIC KEY-----",
        );
        assert!(parse(&[database, public]).is_ok());
        for settings in [&[database][..], &[database, secret, public]] {
            let report = parse(settings).unwrap_err();
            for name in ["JWT_SECRET", "JWT_PUBLIC_KEY"] {
                assert!(report.contains(name), "{name} is missing in: {report}");
            }
        }
    }

    #[test]
    fn a_private_key_in_place_of_the_public_one_is_refused_and_not_shown() {
        let private = "-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYD\\n-----END PRIVATE KEY-----";
        let report = parse(&[("JWT_PUBLIC_KEY", private), ("JWT_JWKS_FILE", "/nowhere/keys.json")])
            .unwrap_err();
        for part in ["JWT_PUBLIC_KEY", "is a private key", "JWT_JWKS_FILE", "cannot be read"] {
            assert!(report.contains(part), "{part} is missing in: {report}");
        }
        assert!(!report.contains("MC4CAQAwBQYD"), "{report}");
    }

    #[test]
    fn two_settings_are_enough() {
        let config = parse(&[
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("DATABASE_URL", "postgres://sales:sales@localhost:5432/sales"),
        ])
        .unwrap();
        assert_eq!(config.port, 3000);
        assert_eq!(config.simulate_delivery, Simulators::Operator);
    }
}
