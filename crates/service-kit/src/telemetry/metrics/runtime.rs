//! Metrics of the process itself: CPU, memory, files, the tasks of its runtime, its loops.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_process::Collector;
use tokio::runtime::Handle;

use crate::Heartbeat;

/// The runtime that does the service's work. Scrapes are served by another one.
#[derive(Clone, Debug)]
pub(crate) struct Runtime(Handle);

impl Runtime {
    pub(crate) fn current() -> Self {
        Self(Handle::current())
    }
}

/// Updates these metrics.
pub(crate) fn update_process_metrics(runtime: &Runtime, heartbeats: &[Heartbeat]) {
    Collector::default().collect();
    let tokio = runtime.0.metrics();
    metrics::gauge!("tokio_workers").set(float(tokio.num_workers()));
    metrics::gauge!("tokio_alive_tasks").set(float(tokio.num_alive_tasks()));
    metrics::gauge!("tokio_queued_tasks").set(float(tokio.global_queue_depth()));
    // Of loops with one name, the worst value counts.
    let mut loops = BTreeMap::<_, (Duration, bool)>::new();
    for heartbeat in heartbeats {
        let (silence, stalled) = loops.entry(heartbeat.name()).or_default();
        *silence = heartbeat.silence().max(*silence);
        *stalled |= !heartbeat.is_alive();
    }
    for (name, (silence, stalled)) in loops {
        metrics::gauge!("loop_silence_seconds", "loop" => name).set(silence.as_secs_f64());
        metrics::gauge!("loop_stalled", "loop" => name).set(f64::from(u8::from(stalled)));
    }
}

fn float(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}
