//! Metrics of a connection pool: its size and use, and the wait for connections.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Pool;
use service_kit::convert::count;
use service_kit::telemetry::metrics::{catalogue, on_scrape};

/// Reports the size and use of a pool on each scrape, until the pool is dropped.
pub(crate) fn show(name: &'static str, pool: &Pool<AsyncPgConnection>) {
    let pool = pool.weak();
    on_scrape(move || {
        let Some(pool) = pool.upgrade() else { return false };
        catalogue::begin_for("pool", name);
        let status = pool.status();
        for (metric, connections) in [
            ("database_pool_max_connections", status.max_size),
            ("database_pool_open_connections", status.size),
            ("database_pool_used_connections", status.size.saturating_sub(status.available)),
            ("database_pool_waiters", status.waiting),
        ] {
            metrics::gauge!(metric, "pool" => name).set(count(connections));
        }
        true
    });
}

/// Records one wait for a connection, and counts a failure unless it was `served`.
pub(crate) fn record_wait(name: &'static str, wait: Duration, served: bool) {
    metrics::histogram!("database_pool_wait_seconds", "pool" => name).record(wait);
    if !served {
        metrics::counter!("database_pool_failures_total", "pool" => name).increment(1);
    }
}
