//! The report of the load.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Serialize;

use super::tally::Tally;
use crate::latency::Tail;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The requested rate; `None` with `--max`.
    target_rate: Option<NonZeroU32>,
    concurrency: usize,
    duration_seconds: f64,
    /// `succeeded` and all `errors`.
    requests: u64,
    /// Including replays.
    pub(crate) succeeded: u64,
    replayed: u64,
    /// Successful requests per second.
    pub(crate) rate: f64,
    /// Latencies of the successful requests; `None` if there were none.
    pub(crate) latency: Option<Tail>,
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Report {
    pub(crate) fn of(
        tally: Tally,
        target_rate: Option<NonZeroU32>,
        concurrency: usize,
        planned: Duration,
    ) -> Self {
        let took = tally.took(planned);
        Self {
            target_rate,
            concurrency,
            duration_seconds: (took.as_secs_f64() * 1000.0).round() / 1000.0,
            requests: tally.requests,
            succeeded: tally.succeeded,
            replayed: tally.replayed,
            rate: rate(tally.succeeded, took),
            latency: tally.latency(),
            errors: tally.errors,
        }
    }

    pub(crate) fn text(&self) -> String {
        let asked = self.target_rate.map_or_else(String::new, |rate| format!(" of {rate}"));
        let mut lines = vec![
            format!(
                "{} of {} requests succeeded, {} of them replays, in {:.1} s on {} connections",
                self.succeeded,
                self.requests,
                self.replayed,
                self.duration_seconds,
                self.concurrency
            ),
            format!("{:.1}{asked} orders/s", self.rate),
        ];
        if let Some(Tail { p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms }) = self.latency {
            lines.push(format!(
                "\n{:<12} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}\n{:<12} {p50_ms:>9.2} {p90_ms:>9.2} \
                 {p95_ms:>9.2} {p99_ms:>9.2} {p999_ms:>9.2} {max_ms:>9.2}",
                "milliseconds", "p50", "p90", "p95", "p99", "p99.9", "max", "response"
            ));
        }
        if !self.errors.is_empty() {
            lines.push("\nerrors".to_owned());
            lines.extend(self.errors.iter().map(|(code, count)| format!("{count:>9}  {code}")));
        }
        lines.join("\n")
    }
}

fn rate(requests: u64, took: Duration) -> f64 {
    if took.is_zero() {
        return 0.0;
    }
    // Exact up to 2^53, more than any load.
    #[allow(clippy::cast_precision_loss)]
    let requests = requests as f64;
    (requests / took.as_secs_f64() * 10.0).round() / 10.0
}
