//! Durations, summed up.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::failure::Failure;

/// Milliseconds, as percentiles.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Summary {
    pub(crate) min_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p95_ms: f64,
    pub(crate) max_ms: f64,
}

/// Sums up; `None` of nothing.
pub(crate) fn summarize(
    durations: impl IntoIterator<Item = Duration>,
) -> Result<Option<Summary>, Failure> {
    // Microseconds with three digits, from one to an hour.
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 3)?;
    for duration in durations {
        histogram.saturating_record(u64::try_from(duration.as_micros())?);
    }
    if histogram.is_empty() {
        return Ok(None);
    }
    // A histogram of three digits knows no more than a tenth.
    let ms = |micros: u64| (Duration::from_micros(micros).as_secs_f64() * 10_000.0).round() / 10.0;
    Ok(Some(Summary {
        min_ms: ms(histogram.min()),
        p50_ms: ms(histogram.value_at_quantile(0.5)),
        p95_ms: ms(histogram.value_at_quantile(0.95)),
        max_ms: ms(histogram.max()),
    }))
}

impl Summary {
    /// One line of a table.
    pub(crate) fn row(&self) -> String {
        let Self { min_ms, p50_ms, p95_ms, max_ms } = self;
        format!("{min_ms:>9.1} {p50_ms:>9.1} {p95_ms:>9.1} {max_ms:>9.1}")
    }
}
