//! Distinguishes a stalled loop from an idle one.
//!
//! The client can stop returning records without an error, although there are some. A handler can
//! wait forever. A loop beats its heartbeat with each step. Without a step, the client's statistics
//! show that it is polled, and that there is nothing to read or the leader is not connected.

use rdkafka::Statistics;
use service_kit::Heartbeat;

/// Beats the heartbeat of a loop that has nothing to read: it is polled, because statistics have
/// arrived, and no connected broker is among `leaders`, which lead the partitions with a lag.
pub(super) fn observe(heartbeat: &Heartbeat, statistics: &Statistics, leaders: &[i32]) {
    let is_connected = |leader: &i32| {
        statistics.brokers.values().any(|broker| broker.nodeid == *leader && broker.state == "UP")
    };
    if !leaders.iter().any(is_connected) {
        heartbeat.beat();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::statistics::Broker;

    use super::*;

    /// Whether a loop without a step is alive, long after its last step.
    async fn is_alive(broker_state: &str, leaders: &[i32]) -> bool {
        let limit = Duration::from_secs(10);
        let heartbeat = Heartbeat::new("loop", limit);
        let broker = Broker { nodeid: 1, state: broker_state.into(), ..Broker::default() };
        let statistics =
            Statistics { brokers: [("b".to_owned(), broker)].into(), ..Statistics::default() };
        tokio::time::advance(2 * limit).await;
        observe(&heartbeat, &statistics, leaders);
        heartbeat.is_alive()
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_loop_is_stalled_only_if_records_are_available() {
        assert!(is_alive("UP", &[]).await);
        assert!(!is_alive("UP", &[1]).await);
        assert!(is_alive("UP", &[2]).await);
        assert!(is_alive("CONNECT", &[1]).await);
    }
}
