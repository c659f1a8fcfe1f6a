//! Latencies, and their percentiles.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

/// A histogram of durations: microseconds with three significant digits, up to an hour.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self, CreationError> {
        Ok(Self(Histogram::new_with_bounds(1, 3_600_000_000, 3)?))
    }

    /// The histogram of these durations.
    pub(crate) fn of(durations: impl IntoIterator<Item = Duration>) -> Result<Self, CreationError> {
        let mut latencies = Self::new()?;
        durations.into_iter().for_each(|it| latencies.record(it));
        Ok(latencies)
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Percentiles up to p99.9, and the maximum; `None` without durations.
    pub(crate) fn tail(&self) -> Option<Tail> {
        let Self(all) = self;
        let at = |quantile| milliseconds(all.value_at_quantile(quantile));
        (!all.is_empty()).then(|| Tail {
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(all.max()),
        })
    }
}

/// Exact: the longest duration of the histogram has fewer than 2^32 microseconds.
fn milliseconds(micros: u64) -> f64 {
    f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1e3
}

/// Percentiles up to p99.9, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tail {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_latency_that_its_share_of_requests_does_not_exceed() {
        let latencies = Latencies::of((1..=1000).rev().map(Duration::from_micros)).unwrap();
        let tail = Tail {
            p50_ms: 0.5,
            p90_ms: 0.9,
            p95_ms: 0.95,
            p99_ms: 0.99,
            p999_ms: 0.999,
            max_ms: 1.0,
        };
        assert_eq!(latencies.tail(), Some(tail));
        assert_eq!(Latencies::new().unwrap().tail(), None);
    }
}
