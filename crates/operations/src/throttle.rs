//! Limits the rate of an operation.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Maximum number of steps per second: a rate is applied in small steps, not in bursts.
const STEPS_PER_SECOND: u32 = 10;

/// A rate limit that counts from its start.
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    rate: Option<NonZeroU32>,
    started: Instant,
}

impl Throttle {
    /// Starts now. Without a rate, [`Self::due`] never waits.
    pub fn start(rate: Option<NonZeroU32>) -> Self {
        Self { rate, started: Instant::now() }
    }

    /// Number of items in the next step, up to `most`.
    pub fn step(self, most: usize) -> usize {
        let step = self.rate.map(|rate| rate.get() / STEPS_PER_SECOND);
        step.and_then(|step| usize::try_from(step).ok()).map_or(most, |step| step.clamp(1, most))
    }

    /// Waits until the next item after `done` items is due.
    pub async fn due(self, done: u64) {
        if let Some(rate) = self.rate {
            #[expect(clippy::cast_precision_loss, reason = "`done` stays below 2^52")]
            let due = Duration::from_secs_f64(done as f64 / f64::from(rate.get()));
            sleep_until(self.started + due).await;
        }
    }
}

/// Parses a rate per second.
pub fn parse_rate(text: &str) -> Result<NonZeroU32, &'static str> {
    text.parse()
        .ok()
        .filter(|rate: &NonZeroU32| rate.get() <= 1_000_000)
        .ok_or("must be a number from 1 to 1000000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limited_rate_makes_batches_of_a_tenth_of_a_second() {
        let step = |rate| Throttle::start(NonZeroU32::new(rate)).step(500);
        assert_eq!([0, 3, 200, 1_000_000].map(step), [500, 1, 20, 500]);
    }
}
