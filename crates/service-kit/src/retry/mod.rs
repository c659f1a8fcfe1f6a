//! Waits before a retry after a transient failure: random, below a bound that doubles.
//!
//! The waits have full jitter, so that clients that failed together do not retry together.

pub mod outage;

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// The bound of the first wait. The bounds are 100, 200, 400, 800 and 1600 ms, then 1600 ms.
pub const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The bound of the longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_millis(1600);

/// The schedule of all retries. It ends when `limit` has passed, if there is one.
pub fn schedule(limit: Option<Duration>) -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        // The factor of 1 spreads a wait from zero to twice its interval.
        .with_initial_interval(FIRST_WAIT / 2)
        .with_max_interval(LONGEST_WAIT / 2)
        .with_randomization_factor(1.0)
        .with_multiplier(2.0)
        .with_max_elapsed_time(limit)
        .build()
}

/// The schedule of retries without a limit.
#[derive(Debug)]
pub struct RetrySchedule(ExponentialBackoff);

impl Default for RetrySchedule {
    fn default() -> Self {
        Self(schedule(None))
    }
}

impl RetrySchedule {
    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST_WAIT)
    }

    /// Begins again with the bound of the first wait; called after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_spread_below_bounds_that_double_up_to_the_longest() {
        let bounds = [100, 200, 400, 800, 1600, 1600, 1600].map(Duration::from_millis);
        let mut longest = [Duration::ZERO; 7];
        let mut shortest = [Duration::MAX; 7];
        let mut schedule = RetrySchedule::default();
        for _ in 0..1000 {
            for (number, bound) in bounds.into_iter().enumerate() {
                let wait = schedule.next_wait();
                assert!(wait <= bound, "wait {number}: {wait:?}");
                longest[number] = longest[number].max(wait);
                shortest[number] = shortest[number].min(wait);
            }
            schedule.reset();
        }
        // The probability that none of 1000 waits is in one of these tenths is below 10^-43.
        for (number, bound) in bounds.into_iter().enumerate() {
            assert!(longest[number] > bound * 9 / 10, "wait {number}: {longest:?}");
            assert!(shortest[number] < bound / 10, "wait {number}: {shortest:?}");
        }
    }

    #[test]
    fn a_limited_schedule_ends() {
        assert_eq!(schedule(Some(Duration::ZERO)).next_backoff(), None);
    }
}
