//! What every process shows of itself: processor, memory and files, the tasks of its runtime, its loops.

use metrics_process::Collector;
use tokio::runtime::Handle;

use crate::Heartbeat;

/// The runtime that does the service's work; scrapes are answered by another one.
#[derive(Clone, Debug)]
pub(crate) struct Runtime(Handle);

impl Runtime {
    pub(crate) fn current() -> Self {
        Self(Handle::current())
    }
}

/// Looks at all of it.
pub(crate) fn looks(runtime: &Runtime, heartbeats: &[Heartbeat]) {
    Collector::default().collect();
    let tokio = runtime.0.metrics();
    metrics::gauge!("tokio_workers").set(float(tokio.num_workers()));
    metrics::gauge!("tokio_alive_tasks").set(float(tokio.num_alive_tasks()));
    metrics::gauge!("tokio_queued_tasks").set(float(tokio.global_queue_depth()));
    for heartbeat in heartbeats {
        let name = heartbeat.name();
        metrics::gauge!("loop_silence_seconds", "loop" => name)
            .set(heartbeat.silence().as_secs_f64());
        metrics::gauge!("loop_stalled", "loop" => name)
            .set(f64::from(u8::from(!heartbeat.is_alive())));
    }
}

fn float(number: usize) -> f64 {
    u32::try_from(number).map_or(f64::from(u32::MAX), f64::from)
}
