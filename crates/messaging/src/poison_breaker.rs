//! Telling a record that is at fault from a condition that looks like one.
//!
//! A limit that was set too low, or a database that was restored empty, makes every record look like one that can never
//! succeed. Records at fault are few. Where most of the latest records were refused for good, none of them is blamed:
//! they are held and tried again until the cause is gone.

use std::collections::VecDeque;

/// The latest outcomes that count.
const LATEST: usize = 100;
/// Fewer than that say nothing.
const FEWEST: usize = 20;

/// Watches what becomes of records that are handled one after the other.
#[derive(Clone, Debug, Default)]
pub struct PoisonBreaker {
    /// Whether each of the latest was refused for good.
    latest: VecDeque<bool>,
}

impl PoisonBreaker {
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
        self.latest.len() >= FEWEST && refused * 2 > self.latest.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_refusals_are_the_fault_of_their_records() {
        let mut breaker = PoisonBreaker::default();
        assert!(!breaker.is_suspicious(19, 0));
        let mut breaker = PoisonBreaker::default();
        assert!(!breaker.is_suspicious(400, 600));
        assert!(!breaker.is_suspicious(1, 0));
    }

    #[test]
    fn most_of_the_latest_are_not_and_it_ends_with_the_cause() {
        let mut breaker = PoisonBreaker::default();
        assert!(!breaker.is_suspicious(1, 0));
        for _ in 0..18 {
            assert!(!breaker.is_suspicious(1, 0));
        }
        assert!(breaker.is_suspicious(1, 0));
        assert!(breaker.is_suspicious(600, 400));
        assert!(!breaker.is_suspicious(0, 100));
    }
}
