//! The latencies of the requests.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;

/// A histogram of durations: microseconds with three significant digits, up to an hour.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Result<Self, CreationError> {
        Ok(Self(Histogram::new_with_bounds(1, 3_600_000_000, 3)?))
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
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: milliseconds(all.max()),
        })
    }
}

/// To the hundredth.
fn milliseconds(micros: u64) -> f64 {
    (Duration::from_micros(micros).as_secs_f64() * 100_000.0).round() / 100.0
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
