//! The settings of the inventory client.

use std::time::Duration;

use conf::Conf;
use service_kit::config::{parse_base_url, timeout_millis, within};
use url::Url;

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
    #[conf(env, default_value = "5", value_parser = within(1..=1_000_000))]
    pub(crate) circuit_breaker_failure_threshold: u32,

    /// Time after which an open circuit breaker lets one trial request through, in milliseconds
    #[conf(env, default_value = "30000", value_parser = timeout_millis)]
    pub(crate) circuit_breaker_reset_timeout: Duration,
}
