//! The settings of the console.

use auth::TokenSettings;
use conf::Conf;
use messaging::KafkaSettings;
use operations::settings::{Databases, TopicSettings};
use service_kit::config::{all_of, parse_port, ports_differ, within};
use service_kit::lifecycle::settings::{CommonSettings, HttpServerSettings};
use service_kit::telemetry::build_info;

use crate::cookies::SecureCookies;

/// console: shows operators the system in a browser, and lets them act
#[derive(Clone, Debug, Conf)]
#[conf(version_fn = build_info::version, name = "console", validation_predicate = Config::check)]
pub struct Config {
    /// The settings that all services have.
    #[conf(flatten)]
    pub common: CommonSettings,

    /// Port of the pages
    #[conf(env, default_value = "3002", value_parser = parse_port)]
    pub(crate) port: u16,

    /// Port of `/livez`, `/readyz` and `/metrics`
    #[conf(env, default_value = "9106", value_parser = parse_port)]
    pub(crate) management_port: u16,

    #[conf(flatten)]
    pub(crate) intake: HttpServerSettings,

    #[conf(flatten)]
    pub(crate) databases: Databases,

    #[conf(flatten)]
    pub(crate) kafka: KafkaSettings,

    #[conf(flatten)]
    pub(crate) names: TopicSettings,

    #[conf(flatten)]
    pub(crate) tokens: TokenSettings,

    /// Whether browsers send the console's cookies only over https: `on` or `off`
    #[conf(env, default_value = "on")]
    pub(crate) secure_cookies: SecureCookies,

    /// Maximum number of pages that are updated live at the same time
    #[conf(env, default_value = "100", value_parser = within(1..=10_000))]
    pub(crate) max_live_pages: usize,
}

impl Config {
    fn check(&self) -> Result<(), String> {
        all_of(&[ports_differ(self.port, self.management_port)])
    }
}
