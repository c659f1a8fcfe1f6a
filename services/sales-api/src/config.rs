//! The settings of sales-api.

use auth::TokenSettings;
use conf::Conf;
use contracts::topics;
use secrecy::{ExposeSecret, SecretString};
use service_kit::config::{all_of, parse_jwt_secret, parse_port, ports_differ, within};
use service_kit::lifecycle::settings::{CommonSettings, HttpServerSettings};
use service_kit::telemetry::build_info;
use store::DatabaseSettings;
use uuid::Uuid;

use crate::http::middleware::settings::LimitSettings;
use crate::inventory::InventorySettings;
use crate::orders::currencies::Currencies;
use crate::orders::simulate::Simulators;

/// sales-api: accepts orders over HTTP
#[derive(Clone, Debug, Conf)]
#[conf(version_fn = build_info::version, validation_predicate = Config::check)]
pub struct Config {
    /// The settings that all services have.
    #[conf(flatten)]
    pub common: CommonSettings,

    /// Port of the API
    #[conf(env, default_value = "3000", value_parser = parse_port)]
    pub(crate) port: u16,

    /// Port of `/livez`, `/readyz` and `/metrics`
    #[conf(env, default_value = "9101", value_parser = parse_port)]
    pub(crate) management_port: u16,

    /// Number of threads that serve requests
    #[conf(env, default_value = "2", value_parser = within(1..=256))]
    pub(crate) http_workers: usize,

    #[conf(flatten)]
    pub(crate) intake: HttpServerSettings,

    #[conf(flatten)]
    pub(crate) limits: LimitSettings,

    #[conf(flatten)]
    pub(crate) database: DatabaseSettings,

    #[conf(flatten)]
    pub(crate) tokens: TokenSettings,

    #[conf(flatten)]
    pub(crate) inventory: InventorySettings,

    /// Topic of sales-api's events: `order.created` and `order.cancellation-requested`
    #[conf(env, default(topics::ORDER_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) order_events_topic: String,

    /// Topic of delivery-service's events: `order.shipped`, `order.delivered` and so on
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_events_topic: String,

    /// Accepted currencies of orders (ISO 4217), separated by commas; an order whose request names
    /// no currency is in the first one
    #[conf(env, default_value = "EUR", value_parser = Currencies::parse)]
    pub(crate) currencies: Currencies,

    /// Who may simulate a delivery: `owner` (the order's owner and operators), `operator` or
    /// `nobody`
    #[conf(env, default_value = "operator")]
    pub(crate) simulate_delivery: Simulators,

    /// Secret that encrypts the cursors of lists and of the change feed, at least 32 bytes, the same for
    /// all replicas; when unset, `JWT_SECRET`, or else a random secret for each process
    #[conf(env, secret, value_parser = parse_jwt_secret)]
    pub(crate) cursor_secret: Option<SecretString>,
}

impl Config {
    fn check(&self) -> Result<(), String> {
        all_of(&[ports_differ(self.port, self.management_port)])
    }

    /// The secret that encrypts cursors. If none is configured, it is random for each process.
    pub(crate) fn cursor_secret(&self) -> Vec<u8> {
        if let Some(secret) = self.cursor_secret.as_ref().or(self.tokens.secret()) {
            return secret.expose_secret().as_bytes().to_vec();
        }
        tracing::warn!(
            "CURSOR_SECRET is not set: cursors of lists and of the change feed are valid in this process only, so \
             followers lose their place when it stops; set the same secret for all replicas"
        );
        Uuid::new_v4().into_bytes().to_vec()
    }
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
    fn only_a_token_secret_and_a_database_url_are_required() {
        let config = parse(&[
            ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
            ("DATABASE_URL", "postgres://sales:sales@localhost:5432/sales"),
        ])
        .unwrap();
        assert_eq!(config.port, 3000);
        assert_eq!(config.simulate_delivery, Simulators::Operator);
        assert_eq!(config.currencies, Currencies::parse("EUR").unwrap());
    }
}
