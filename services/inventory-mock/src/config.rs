//! The settings of inventory-mock.

use conf::Conf;
use service_kit::config::{CommonSettings, ServiceConfig};

use crate::behaviour::Behaviour;

/// inventory-mock: answers availability as a shop's inventory would
#[derive(Clone, Debug, Conf)]
#[conf(version, validation_predicate = Config::check)]
pub struct Config {
    #[conf(flatten)]
    pub(crate) common: CommonSettings,

    /// Port of the availability API
    #[conf(env, default_value = "3001")]
    pub(crate) port: u16,

    /// Port of /livez, /readyz and /metrics
    #[conf(env, default_value = "9105")]
    management_port: u16,

    /// Percent of requests that fail with 500
    #[conf(env, default_value = "0", value_parser = parse_percent)]
    inventory_failure_rate: u8,

    /// Least milliseconds that an answer takes
    #[conf(env, default_value = "0")]
    inventory_latency_min: u64,

    /// Most milliseconds that an answer takes
    #[conf(env, default_value = "0")]
    inventory_latency_max: u64,
}

fn parse_percent(text: &str) -> Result<u8, &'static str> {
    text.parse().ok().filter(|percent| *percent <= 100).ok_or("must be a number from 0 to 100")
}

impl Config {
    fn check(&self) -> Result<(), String> {
        self.behaviour()
            .check()
            .map_err(|fault| format!("INVENTORY_LATENCY_MIN, INVENTORY_LATENCY_MAX: {fault}"))
    }

    pub(crate) fn behaviour(&self) -> Behaviour {
        Behaviour {
            failure_rate: self.inventory_failure_rate,
            latency_min_ms: self.inventory_latency_min,
            latency_max_ms: self.inventory_latency_max,
        }
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
