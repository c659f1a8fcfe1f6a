//! The process's metrics, recorded through the `metrics` crate and shown in Prometheus' text format.
//!
//! What there is, and what it means, is in the [`catalogue`]. Some values have no moment at which they change, such as the
//! memory of the process; they are looked up when somebody asks, by what was given to [`on_scrape`].

pub mod catalogue;
mod runtime;

use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

pub(crate) use runtime::{Runtime, looks};

/// Seconds; from a fast statement to a timeout.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Numbers of records or rows handled together.
const BATCH: &[f64] =
    &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

/// Looks something up; false when that is gone, and need not be asked for again.
type Look = Box<dyn Fn() -> bool + Send>;

static RECORDER: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
static LOOKS: Mutex<Vec<Look>> = Mutex::new(Vec::new());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `look` called before each scrape, until it says that what it looks at is gone.
pub fn on_scrape(look: impl Fn() -> bool + Send + 'static) {
    locked(&LOOKS).push(Box::new(look));
}

/// Installs the recorder; once a process, however many services run in it.
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
    // The lock makes this the only call, so no other recorder can be there.
    let _ = metrics::set_global_recorder(built);
    catalogue::describe();
    Ok(())
}

/// Sums up what was recorded since the last time. Without it, samples pile up until somebody asks for them.
pub(crate) fn upkeep() {
    if let Some(handle) = &*locked(&RECORDER) {
        handle.run_upkeep();
    }
}

/// The current values in Prometheus' text format.
pub(crate) fn render() -> String {
    locked(&LOOKS).retain(|look| look());
    locked(&RECORDER).as_ref().map(PrometheusHandle::render).unwrap_or_default()
}
