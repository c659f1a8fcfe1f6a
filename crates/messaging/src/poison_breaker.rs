//! Telling a record that is at fault from a condition that looks like one.
//!
//! A limit that was set too low, or a database that was restored empty, makes every record look like one that can never
//! succeed. Records at fault are few. Where most of the latest records were refused for good, none of them is blamed:
//! they are held and tried again until the cause is gone.

use std::collections::VecDeque;

use conf::Conf;

/// Whether poison is held.
#[derive(Clone, Debug, Conf)]
pub struct PoisonSettings {
    /// Whether records that can never be processed or published are held, and tried again, when they are most of the
    /// latest: `on` or `off`; with `off`, each becomes a dead letter
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

/// The latest outcomes that count.
const LATEST: usize = 100;
/// Fewer than that say nothing.
const FEWEST: usize = 20;

/// Watches what becomes of records that are handled one after the other.
#[derive(Clone, Debug)]
pub struct PoisonBreaker {
    is_on: bool,
    /// Whether each of the latest was refused for good.
    latest: VecDeque<bool>,
}

impl PoisonBreaker {
    /// Nothing was refused yet. One that is off finds nothing suspicious.
    pub fn new(settings: &PoisonSettings) -> Self {
        Self { is_on: settings.poison_breaker, latest: VecDeque::new() }
    }

    /// The cause is gone: what was refused because of it says nothing about what comes.
    pub fn forget(&mut self) {
        self.latest.clear();
    }

    /// Notes the outcomes of a batch. Returns whether most of the latest were refused for good.
    pub fn is_suspicious(&mut self, refused: usize, others: usize) -> bool {
        // In a large batch only the proportion counts.
        let total = (refused + others).max(1);
        let (refused, others) = if total > LATEST {
            let refused = refused * LATEST / total;
            (refused, LATEST - refused)
        } else {
            (refused, others)
        };
        self.latest.extend(std::iter::repeat_n(true, refused));
        self.latest.extend(std::iter::repeat_n(false, others));
        let surplus = self.latest.len().saturating_sub(LATEST);
        self.latest.drain(..surplus);
        let refused = self.latest.iter().filter(|refused| **refused).count();
        self.is_on && self.latest.len() >= FEWEST && refused * 2 > self.latest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(poison_breaker: bool) -> PoisonBreaker {
        PoisonBreaker::new(&PoisonSettings { poison_breaker })
    }

    #[test]
    fn a_few_refusals_are_the_fault_of_their_records() {
        let mut breaker = new(true);
        assert!(!breaker.is_suspicious(19, 0));
        let mut breaker = new(true);
        assert!(!breaker.is_suspicious(400, 600));
        assert!(!breaker.is_suspicious(1, 0));
    }

    #[test]
    fn most_of_the_latest_are_not_and_it_ends_with_the_cause() {
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
    fn what_was_refused_for_a_cause_that_is_gone_does_not_count() {
        let mut breaker = new(true);
        assert!(breaker.is_suspicious(100, 0));
        breaker.forget();
        assert!(!breaker.is_suspicious(1, 9));
    }

    #[test]
    fn one_that_is_off_finds_nothing_suspicious() {
        assert!(!new(false).is_suspicious(100, 0));
    }
}
