//! Metrics of request durations, by method, route and status.

use std::time::Duration;

use metrics::Histogram;

/// Statuses that count as errors in alerts. A series must exist before its first error, or
/// Prometheus does not count that error.
const ERROR_STATUSES: [u16; 2] = [500, 503];

/// Creates the error series of a route with the value 0. `methods` is the value of `Allow`.
pub(crate) fn init_error_series(route: &str, methods: &'static str) {
    for method in methods.split(", ").filter(|it| !["HEAD", "OPTIONS"].contains(it)) {
        for status in ERROR_STATUSES {
            drop(durations(method, route, status));
        }
    }
}

/// Records the duration of a request.
pub(crate) fn record_request(method: &'static str, route: &str, status: u16, duration: Duration) {
    durations(method, route, status).record(duration);
}

fn durations(method: &'static str, route: &str, status: u16) -> Histogram {
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "method" => method, "route" => route.to_owned(), "status" => status.to_string()
    )
}
