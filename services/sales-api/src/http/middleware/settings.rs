//! The load limits of one process.

use std::num::NonZeroU32;
use std::time::Duration;

use conf::Conf;
use service_kit::config::{timeout_millis, within};

use super::cors::{Origins, parse_origins};

/// Load limits of one process.
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = LimitSettings::check)]
pub(crate) struct LimitSettings {
    /// Maximum number of concurrent requests; further requests get a 503 at once, and requests of a
    /// subject that already has half of the permits get a 429
    #[conf(env, default_value = "512", value_parser = within(1..=100_000))]
    pub(crate) max_concurrent_requests: usize,

    /// Maximum number of open streams of the change feed; further ones get a 503, and those of a
    /// subject that already has half of them a 429
    #[conf(env, default_value = "256", value_parser = within(1..=100_000))]
    pub(crate) max_streams: usize,

    /// Maximum time to receive the head of a request, and separately its body, in milliseconds
    #[conf(env, default_value = "5000", value_parser = timeout_millis)]
    pub(crate) request_read_timeout: Duration,

    /// Maximum average number of requests per second of one subject to one instance; unlimited when
    /// unset
    #[conf(env, value_parser = within(NonZeroU32::MIN..=LARGEST_RATE))]
    pub(crate) rate_limit_per_second: Option<NonZeroU32>,

    /// Maximum number of requests that one subject may send at once after a pause;
    /// `RATE_LIMIT_PER_SECOND` when unset
    #[conf(env, value_parser = within(NonZeroU32::MIN..=LARGEST_RATE))]
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
