//! Doing many things no faster than somebody else can follow.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How often a second something is done, at most: a rate is kept in small steps, not in one burst a second.
const STEPS_PER_SECOND: u32 = 10;

/// A rate that is kept from its beginning on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    rate: Option<NonZeroU32>,
    started: Instant,
}

impl Throttle {
    /// Begins now. Without a rate, nothing has to wait.
    pub(crate) fn start(rate: Option<NonZeroU32>) -> Self {
        Self { rate, started: Instant::now() }
    }

    /// How many are to be done at once, of `most` that could be.
    pub(crate) fn step(self, most: u32) -> u32 {
        self.rate.map_or(most, |rate| (rate.get() / STEPS_PER_SECOND).clamp(1, most))
    }

    /// Waits until one more is due after `done`.
    pub(crate) async fn due(self, done: u64) {
        if let Some(rate) = self.rate {
            #[expect(clippy::cast_precision_loss, reason = "2^52 of anything are never done")]
            let due = Duration::from_secs_f64(done as f64 / f64::from(rate.get()));
            sleep_until(self.started + due).await;
        }
    }
}

/// Reads how many a second.
pub(crate) fn parse_rate(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse()
        .ok()
        .filter(|rate: &NonZeroU32| rate.get() <= 1_000_000)
        .ok_or("must be a number from 1 to 1000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_rate_goes_one_by_one_and_none_goes_as_fast_as_it_can() {
        let step = |rate| Throttle::start(NonZeroU32::new(rate)).step(500);
        assert_eq!([0, 3, 200, 1_000_000].map(step), [500, 1, 20, 500]);
    }
}
