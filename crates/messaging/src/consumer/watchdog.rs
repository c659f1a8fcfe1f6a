//! Distinguishes a stalled loop from an idle one.
//!
//! The client can stop returning records without an error, although there are some. A handler can
//! wait forever. A loop beats its heartbeat with each step. Without a step, the client's statistics
//! show that it is polled, and that there is nothing to read or the leader is not connected.

use rdkafka::Statistics;
use service_kit::Heartbeat;

use super::lag::LaggingPartition;

/// Beats the heartbeat of an idle loop.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    pub(super) heartbeat: Heartbeat,
}

impl Watchdog {
    /// Evaluates the statistics, which arrive only while the loop polls.
    pub(super) fn observe(&self, statistics: &Statistics, lagging: &[LaggingPartition]) {
        let connected = |leader: i32| {
            statistics
                .brokers
                .values()
                .any(|broker| broker.nodeid == leader && broker.state == "UP")
        };
        // No lag, or only on partitions whose leader is not connected.
        if !lagging.iter().any(|partition| connected(partition.leader)) {
            self.heartbeat.beat();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::statistics::Broker;

    use super::*;

    /// Whether a loop without a step is alive, long after its last step.
    async fn is_alive(broker_state: &str, lagging: &[LaggingPartition]) -> bool {
        let limit = Duration::from_secs(10);
        let watchdog = Watchdog { heartbeat: Heartbeat::new("loop", limit) };
        let broker = Broker { nodeid: 1, state: broker_state.into(), ..Broker::default() };
        let statistics =
            Statistics { brokers: [("b".to_owned(), broker)].into(), ..Statistics::default() };
        tokio::time::advance(2 * limit).await;
        watchdog.observe(&statistics, lagging);
        watchdog.heartbeat.is_alive()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_loop_is_stalled_only_if_records_are_available() {
        assert!(is_alive("UP", &[]).await);
        assert!(!is_alive("UP", &[LaggingPartition { leader: 1 }]).await);
        assert!(is_alive("UP", &[LaggingPartition { leader: 2 }]).await);
        assert!(is_alive("CONNECT", &[LaggingPartition { leader: 1 }]).await);
    }
}
