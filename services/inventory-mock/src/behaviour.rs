//! The failures and delays of the inventory, and its stock.

use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};

/// Failures and delays, as set by the environment or by `PUT /admin/behaviour`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Behaviour {
    /// Percent of requests that fail with 500.
    #[serde(default)]
    pub(crate) failure_rate: u8,
    /// Minimum response time, in milliseconds.
    #[serde(default)]
    pub(crate) latency_min_ms: u64,
    /// Maximum response time, in milliseconds.
    #[serde(default)]
    pub(crate) latency_max_ms: u64,
}

impl Behaviour {
    /// The longest response time that can be set: ten minutes.
    pub(crate) const LONGEST_MS: u64 = 600_000;

    /// Checks that the values are within their bounds.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        if self.failure_rate > 100 {
            return Err("failureRate must be a percentage, 0 to 100");
        }
        if self.latency_min_ms > self.latency_max_ms {
            return Err("latencyMinMs must not be more than latencyMaxMs");
        }
        if self.latency_max_ms > Self::LONGEST_MS {
            return Err("latencyMaxMs must not be more than 600000");
        }
        Ok(())
    }

    /// Whether this request fails.
    pub(crate) fn fails(&self) -> bool {
        rand::rng().random_range(0..100) < self.failure_rate
    }

    /// The response time of this request.
    pub(crate) fn latency(&self) -> Duration {
        Duration::from_millis(rand::rng().random_range(self.latency_min_ms..=self.latency_max_ms))
    }
}

/// The stock of a product: none if the product id contains `out-of-stock`, three if it contains
/// `limited`, otherwise plenty.
pub(crate) fn stock_of(product_id: &str) -> i64 {
    match product_id {
        id if id.contains("out-of-stock") => 0,
        id if id.contains("limited") => 3,
        _ => 1_000_000_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_behaviour_is_rejected() {
        let good = Behaviour { failure_rate: 100, latency_min_ms: 0, latency_max_ms: 10 };
        assert!(good.check().is_ok());
        assert!(Behaviour { failure_rate: 101, ..good }.check().is_err());
        assert!(Behaviour { latency_min_ms: 11, ..good }.check().is_err());
        assert!(Behaviour { latency_max_ms: 600_001, ..good }.check().is_err());
    }

    #[test]
    fn failure_rates_of_0_and_100_are_exact() {
        let behaviour =
            |failure_rate| Behaviour { failure_rate, latency_min_ms: 0, latency_max_ms: 0 };
        assert!((0..1000).all(|_| behaviour(100).fails()));
        assert!(!(0..1000).any(|_| behaviour(0).fails()));
    }
}
