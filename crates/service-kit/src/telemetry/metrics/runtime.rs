//! Metrics of the process itself: CPU, memory, files, the tasks of its runtime, its loops.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_process::Collector;
use tokio::runtime::Handle;

use crate::Heartbeat;
use crate::convert::count;

/// Updates these metrics. `runtime` does the service's work; scrapes are served by another one.
pub(crate) fn update_process_metrics(runtime: &Handle, heartbeats: &[Heartbeat]) {
    Collector::default().collect();
    let tokio = runtime.metrics();
    metrics::gauge!("tokio_workers").set(count(tokio.num_workers()));
    metrics::gauge!("tokio_alive_tasks").set(count(tokio.num_alive_tasks()));
    metrics::gauge!("tokio_queued_tasks").set(count(tokio.global_queue_depth()));
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
