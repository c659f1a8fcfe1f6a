//! Waits before a retry after a transient failure.

pub mod outage;

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Waits of 100, 200, 400, 800 and 1600 ms, then 1600 ms without end.
#[derive(Debug)]
pub struct RetrySchedule(ExponentialBackoff);

/// The first wait.
pub const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_millis(1600);

impl Default for RetrySchedule {
    fn default() -> Self {
        Self(
            ExponentialBackoffBuilder::new()
                .with_initial_interval(FIRST_WAIT)
                .with_multiplier(2.0)
                .with_randomization_factor(0.0)
                .with_max_interval(LONGEST_WAIT)
                .with_max_elapsed_time(None)
                .build(),
        )
    }
}

impl RetrySchedule {
    /// The next wait.
    pub fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST_WAIT)
    }

    /// Begins again at the first wait; called after a success.
    pub fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut schedule = RetrySchedule::default();
        let waits: Vec<_> = (0..7).map(|_| schedule.next_wait().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 1600, 1600]);
        schedule.reset();
        assert_eq!(schedule.next_wait(), FIRST_WAIT);
    }
}
