//! The process's metrics, recorded through the `metrics` crate and exposed in Prometheus' text
//! format.
//!
//! The [`catalogue`] lists all metrics. Values that no event changes, such as the memory of the
//! process, are read on each scrape by the callbacks of [`on_scrape`].

pub mod catalogue;
mod runtime;

use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::telemetry::build_info;

pub(crate) use runtime::update_process_metrics;

/// Buckets of durations, in seconds: from a fast statement to a timeout.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Buckets of batch sizes, in records or rows.
const BATCH: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// Updates metrics; returns false when their source is gone, and is not called again.
type ScrapeCallback = Box<dyn Fn() -> bool + Send>;

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
static SCRAPE_CALLBACKS: Mutex<Vec<ScrapeCallback>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers a callback for each scrape, until it returns false because its source is gone.
pub fn on_scrape(callback: impl Fn() -> bool + Send + 'static) {
    locked(&SCRAPE_CALLBACKS).push(Box::new(callback));
}

/// Installs the recorder, once per process, even if several services run in it.
pub(crate) fn install() -> Result<(), BuildError> {
    let mut installed = locked(&RECORDER);
    if installed.is_some() {
        return Ok(());
    }
    let built = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_size".into()), BATCH)?
        .build_recorder();
    *installed = Some(built.handle());
    // The lock makes this the only caller, so no other recorder is installed.
    let _ = metrics::set_global_recorder(built);
    catalogue::describe();
    Ok(())
}

/// Exposes the metrics of `service`. Counters start at 0.
pub(crate) fn expose(service: &'static str) {
    catalogue::begin(service);
    metrics::gauge!(
        "sales_build_info", "service" => service, "version" => build_info::VERSION,
        "revision" => build_info::revision()
    )
    .set(1.0);
}

/// Aggregates the samples since the last call. Without it, they accumulate until the next scrape.
pub(crate) fn upkeep() {
    if let Some(handle) = &*locked(&RECORDER) {
        handle.run_upkeep();
    }
}

/// The current values in Prometheus' text format.
pub(crate) fn render() -> String {
    locked(&SCRAPE_CALLBACKS).retain(|callback| callback());
    locked(&RECORDER).as_ref().map(PrometheusHandle::render).unwrap_or_default()
}
