//! How long requests take, by method, route and status.

use std::time::Duration;

use metrics::Histogram;

use crate::routes::Route;

/// What the share of failures is worked out from: it has to be there before the first of them, or that one is not seen.
const FAILURES: [u16; 2] = [500, 503];

/// Lets the failures of each route begin at 0.
pub(crate) fn begin_requests(routes: &[Route]) {
    for route in routes {
        for method in route.methods.split(", ").filter(|it| ["GET", "POST"].contains(it)) {
            for status in FAILURES {
                drop(durations(method, route.path, status));
            }
        }
    }
}

/// Notes that a request has its answer.
pub(crate) fn answered(method: &'static str, route: &str, status: u16, duration: Duration) {
    durations(method, route, status).record(duration);
}

fn durations(method: &'static str, route: &str, status: u16) -> Histogram {
    metrics::histogram!(
        "http_server_request_duration_seconds",
        "method" => method, "route" => route.to_owned(), "status" => status.to_string()
    )
}
