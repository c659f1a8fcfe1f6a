//! Durations of delivery steps.

use std::time::Duration;

use rand::RngExt;

/// Uniformly distributed durations between `shortest` and `longest`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl Delays {
    /// The duration of the next step.
    pub(crate) fn draw(self) -> Duration {
        rand::rng().random_range(self.shortest..=self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_spread_evenly_between_their_bounds() {
        let (shortest, longest) = (Duration::from_secs(2), Duration::from_secs(8));
        let delays = Delays { shortest, longest };
        let mut parts = [0_u32; 6];
        for _ in 0..60_000 {
            let delay = delays.draw();
            assert!((shortest..=longest).contains(&delay), "{delay:?}");
            let part = usize::try_from(delay.as_secs()).unwrap() - 2;
            parts[part.min(5)] += 1;
        }
        // 10,000 in each second, give or take ten standard deviations.
        assert!(parts.iter().all(|part| (9_087..=10_913).contains(part)), "{parts:?}");
    }

    #[test]
    fn a_delay_can_equal_either_bound() {
        let (shortest, longest) = (Duration::from_nanos(7), Duration::from_nanos(8));
        let delays = Delays { shortest, longest };
        let drawn: Vec<Duration> = (0..200).map(|_| delays.draw()).collect();
        assert!(drawn.contains(&shortest) && drawn.contains(&longest));
        assert_eq!(Delays { shortest, longest: shortest }.draw(), shortest);
    }
}
