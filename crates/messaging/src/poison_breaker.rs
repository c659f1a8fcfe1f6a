//! Distinguishes poison from a condition that makes every record look like poison.
//!
//! With a limit that is too low, or a database that was restored empty, every record fails
//! permanently. Real poison is rare. If most of the latest records failed permanently, none of them
//! is dead-lettered: they are held and retried until the cause is gone.

use std::collections::VecDeque;

use conf::Conf;

/// Settings of the poison breaker.
#[derive(Clone, Debug, Conf)]
pub struct PoisonSettings {
    /// Whether records that can never be processed or published are held and retried while they are
    /// most of the latest records: `on` or `off`; with `off`, each becomes a dead letter
    #[conf(parameter, env, default_value = "on", value_parser = parse_switch)]
    pub poison_breaker: bool,
}

fn parse_switch(text: &str) -> Result<bool, &'static str> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("must be on or off"),
    }
}

/// Number of latest outcomes that are evaluated. A longer memory of successes would let more records
/// become dead letters before the breaker trips: half as many as it has.
const WINDOW: usize = 20;

/// The outcomes of the latest records of one loop.
#[derive(Clone, Debug)]
pub struct PoisonBreaker {
    is_on: bool,
    /// Whether each of the latest records failed permanently.
    latest: VecDeque<bool>,
}

impl PoisonBreaker {
    /// A breaker without outcomes. If the setting is off, [`Self::is_suspicious`] always returns
    /// `false`.
    pub fn new(settings: &PoisonSettings) -> Self {
        Self { is_on: settings.poison_breaker, latest: VecDeque::new() }
    }

    /// Clears the outcomes, after the cause is gone.
    pub fn forget(&mut self) {
        self.latest.clear();
    }

    /// Adds the outcomes of a batch. Returns whether most of the latest records failed permanently.
    pub fn is_suspicious(&mut self, refused: usize, others: usize) -> bool {
        // A larger batch is scaled down, so that its proportion counts.
        let total = (refused + others).max(1);
        let (refused, others) = if total > WINDOW {
            let refused = refused * WINDOW / total;
            (refused, WINDOW - refused)
        } else {
            (refused, others)
        };
        self.latest.extend(std::iter::repeat_n(true, refused));
        self.latest.extend(std::iter::repeat_n(false, others));
        let surplus = self.latest.len().saturating_sub(WINDOW);
        self.latest.drain(..surplus);
        let refused = self.latest.iter().filter(|refused| **refused).count();
        self.is_on && self.latest.len() >= WINDOW && refused * 2 > self.latest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(poison_breaker: bool) -> PoisonBreaker {
        PoisonBreaker::new(&PoisonSettings { poison_breaker })
    }

    #[test]
    fn a_few_failures_do_not_trip_the_breaker() {
        let mut breaker = new(true);
        assert!(!breaker.is_suspicious(19, 0));
        let mut breaker = new(true);
        assert!(!breaker.is_suspicious(400, 600));
        assert!(!breaker.is_suspicious(1, 0));
    }

    #[test]
    fn a_majority_of_failures_trips_the_breaker_until_records_succeed() {
        let mut breaker = new(true);
        assert!(!breaker.is_suspicious(1, 0));
        for _ in 0..18 {
            assert!(!breaker.is_suspicious(1, 0));
        }
        assert!(breaker.is_suspicious(1, 0));
        assert!(breaker.is_suspicious(600, 400));
        assert!(!breaker.is_suspicious(0, 100));
    }

    #[test]
    fn a_long_success_does_not_delay_the_breaker() {
        let mut breaker = new(true);
        for _ in 0..1000 {
            assert!(!breaker.is_suspicious(0, 1));
        }
        let dead_lettered = (0..100).take_while(|_| !breaker.is_suspicious(1, 0)).count();
        assert_eq!(dead_lettered, 10);
    }

    #[test]
    fn failures_before_a_reset_do_not_trip_the_breaker() {
        let mut breaker = new(true);
        assert!(breaker.is_suspicious(100, 0));
        breaker.forget();
        assert!(!breaker.is_suspicious(1, 9));
    }

    #[test]
    fn a_disabled_breaker_never_trips() {
        assert!(!new(false).is_suspicious(100, 0));
    }
}
