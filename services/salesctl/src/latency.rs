//! Latency histograms and their summaries.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;

use crate::failure::Failure;

/// A histogram of durations: microseconds with three significant digits, up to an hour.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self, CreationError> {
        Ok(Self(Histogram::new_with_bounds(1, 3_600_000_000, 3)?))
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        self.0.saturating_record(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Minimum, median, 95th percentile and maximum; `None` without durations.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let Self(all) = self;
        // Delivery steps take seconds, so a tenth of a millisecond is precise enough.
        let tenths = |micros| ms(micros, 10.0);
        (!all.is_empty()).then(|| Summary {
            min_ms: tenths(all.min()),
            p50_ms: tenths(all.value_at_quantile(0.5)),
            p95_ms: tenths(all.value_at_quantile(0.95)),
            max_ms: tenths(all.max()),
        })
    }

    /// Percentiles up to p99.9, and the maximum; `None` without durations.
    pub(crate) fn tail(&self) -> Option<Tail> {
        let Self(all) = self;
        let at = |quantile| ms(all.value_at_quantile(quantile), 100.0);
        (!all.is_empty()).then(|| Tail {
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: ms(all.max(), 100.0),
        })
    }
}

fn ms(micros: u64, parts: f64) -> f64 {
    (Duration::from_micros(micros).as_secs_f64() * 1000.0 * parts).round() / parts
}

/// Percentiles, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) min_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) max_ms: f64,
}

/// Percentiles up to p99.9, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Tail {
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

/// Summarizes durations; `None` if there are none.
pub(crate) fn summarize(
    durations: impl IntoIterator<Item = Duration>,
) -> Result<Option<Summary>, Failure> {
    let mut latencies = Latencies::new()?;
    for duration in durations {
        latencies.record(duration);
    }
    Ok(latencies.summary())
}

impl Summary {
    /// One line of a table.
    pub(crate) fn row(&self) -> String {
        let Self { min_ms, p50_ms, p95_ms, max_ms } = self;
        format!("{min_ms:>9.1} {p50_ms:>9.1} {p95_ms:>9.1} {max_ms:>9.1}")
    }
}
