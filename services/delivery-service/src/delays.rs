//! How long a step of a delivery takes.

use std::time::Duration;

use rand::RngExt;

/// Uniformly between a shortest and a longest duration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delays {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

impl Delays {
    /// How long the next step takes.
    pub(crate) fn draw(self) -> Duration {
        rand::rng().random_range(self.shortest..=self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_within_its_bounds() {
        let delays = Delays { shortest: Duration::from_secs(2), longest: Duration::from_secs(8) };
        for _ in 0..1000 {
            assert!((delays.shortest..=delays.longest).contains(&delays.draw()));
        }
    }
}
