//! The settings of inventory-mock.

use conf::Conf;
use service_kit::config::{all_of, parse_port, ports_differ, within};
use service_kit::lifecycle::settings::{CommonSettings, HttpServerSettings};
use service_kit::telemetry::build_info;

use crate::behaviour::Behaviour;

/// inventory-mock: stands in for the inventory of a shop
#[derive(Clone, Debug, Conf)]
#[conf(version_fn = build_info::version, validation_predicate = Config::check)]
pub struct Config {
    /// The settings that all services have.
    #[conf(flatten)]
    pub common: CommonSettings,

    /// Port of the inventory API
    #[conf(env, default_value = "3001", value_parser = parse_port)]
    pub(crate) port: u16,

    /// Port of `/livez`, `/readyz` and `/metrics`
    #[conf(env, default_value = "9105", value_parser = parse_port)]
    pub(crate) management_port: u16,

    #[conf(flatten)]
    pub(crate) intake: HttpServerSettings,

    /// Share of requests that fail with 500, in percent
    #[conf(env, default_value = "0", value_parser = within(0..=100))]
    inventory_failure_rate: u8,

    /// Minimum response time, in milliseconds
    #[conf(env, default_value = "0", value_parser = within(0..=Behaviour::LONGEST_MS))]
    inventory_latency_min: u64,

    /// Maximum response time, in milliseconds
    #[conf(env, default_value = "0", value_parser = within(0..=Behaviour::LONGEST_MS))]
    inventory_latency_max: u64,
}

impl Config {
    fn check(&self) -> Result<(), String> {
        all_of(&[
            ports_differ(self.port, self.management_port),
            (
                self.inventory_latency_min <= self.inventory_latency_max,
                "INVENTORY_LATENCY_MIN must not be more than INVENTORY_LATENCY_MAX",
            ),
        ])
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        Behaviour {
            failure_rate: self.inventory_failure_rate,
            latency_min_ms: self.inventory_latency_min,
            latency_max_ms: self.inventory_latency_max,
        }
    }
}
