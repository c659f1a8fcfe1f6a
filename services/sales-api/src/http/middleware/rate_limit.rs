//! Rate limit for each subject: the generic cell rate algorithm, in the memory of this process.
//!
//! Responses report the remaining quota in the fields of draft-ietf-httpapi-ratelimit-headers-10.

use std::convert::Infallible;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use domain::Owner;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use tokio_util::sync::CancellationToken;

use crate::http::middleware::settings::LimitSettings;

/// Interval between two removals of inactive subjects.
const SWEEP: Duration = Duration::from_mins(1);

type Limiter =
    RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The rate limiter, or `None` if no limit is configured.
pub(crate) struct RateLimit(Option<Limited>);

struct Limited {
    limiter: Limiter,
    per_second: u32,
    burst: u32,
}

/// The quota of a subject after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    burst: u32,
    per_second: u32,
    remaining: u32,
}

impl RateLimit {
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        Self(settings.rate_limit_per_second.map(|per_second| {
            let burst = settings.rate_limit_burst.unwrap_or(per_second);
            let quota = Quota::per_second(per_second).allow_burst(burst);
            let limiter = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
            Limited { limiter, per_second: per_second.get(), burst: burst.get() }
        }))
    }

    /// Counts a request of `owner`. Returns the remaining quota, and the time to wait if there was
    /// none; `None` if no limit is configured.
    pub(crate) fn count(&self, owner: &Owner) -> Option<(Allowance, Result<(), Duration>)> {
        let Limited { limiter, per_second, burst } = self.0.as_ref()?;
        let (remaining, result) = match limiter.check_key(&owner.to_string()) {
            Ok(state) => (state.remaining_burst_capacity(), Ok(())),
            Err(not_until) => (0, Err(not_until.wait_time_from(limiter.clock().now()))),
        };
        Some((Allowance { burst: *burst, per_second: *per_second, remaining }, result))
    }

    /// Removes subjects whose quota is complete again, until `shutdown`.
    pub(crate) async fn sweep(&self, shutdown: CancellationToken) -> Result<(), Infallible> {
        let mut interval = tokio::time::interval(SWEEP);
        while shutdown.run_until_cancelled(interval.tick()).await.is_some() {
            if let Some(limited) = &self.0 {
                limited.limiter.retain_recent();
                limited.limiter.shrink_to_fit();
            }
        }
        Ok(())
    }
}

impl Allowance {
    /// Adds the fields to the headers of a response.
    pub(crate) fn add_to(self, headers: &mut HeaderMap) {
        let Self { burst, per_second, remaining } = self;
        let window = burst.div_ceil(per_second);
        let reset = (burst - remaining).div_ceil(per_second);
        for (name, value) in [
            ("ratelimit-policy", format!("\"subject\";q={burst};w={window}")),
            ("ratelimit", format!("\"subject\";r={remaining};t={reset}")),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}
