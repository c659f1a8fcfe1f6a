//! How often a subject may call, whoever else does: the generic cell rate algorithm, in this process's memory.
//!
//! The answer says what is left, in the fields of draft-ietf-httpapi-ratelimit-headers-10.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use domain::Owner;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use tokio_util::sync::CancellationToken;

use crate::config::LimitSettings;

/// Between two times that subjects who called long ago are forgotten.
const SWEEP: Duration = Duration::from_mins(1);

type Limiter =
    RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The limit of each subject, where there is one.
pub(crate) struct RateLimit(Option<Limited>);

struct Limited {
    limiter: Limiter,
    per_second: u32,
    burst: u32,
}

/// What is left for a subject, after one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    burst: u32,
    per_second: u32,
    remaining: u32,
}

/// A subject has called too often.
pub(crate) struct TooOften {
    pub(crate) allowance: Allowance,
    pub(crate) retry_after: Duration,
}

impl RateLimit {
    pub(crate) fn new(settings: &LimitSettings) -> Self {
        Self(settings.rate_limit_per_second.map(|per_second| {
            let burst = settings.rate_limit_burst.unwrap_or(per_second);
            Limited::new(per_second, burst)
        }))
    }

    /// Counts a request of `owner`. `None` where nobody counts.
    pub(crate) fn count(&self, owner: &Owner) -> Result<Option<Allowance>, TooOften> {
        self.0.as_ref().map(|limited| limited.count(owner)).transpose()
    }

    /// Forgets who has not called for so long that it makes no difference, until `shutdown`.
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

impl Limited {
    fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(per_second).allow_burst(burst);
        let limiter = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Self { limiter, per_second: per_second.get(), burst: burst.get() }
    }

    fn count(&self, owner: &Owner) -> Result<Allowance, TooOften> {
        let allowance =
            |remaining| Allowance { burst: self.burst, per_second: self.per_second, remaining };
        match self.limiter.check_key(&owner.to_string()) {
            Ok(state) => Ok(allowance(state.remaining_burst_capacity())),
            Err(not_until) => Err(TooOften {
                allowance: allowance(0),
                retry_after: not_until.wait_time_from(self.limiter.clock().now()),
            }),
        }
    }
}

impl Allowance {
    /// Puts the fields on an answer.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
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
