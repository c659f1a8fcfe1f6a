//! Telling a loop that stands still from one with nothing to do.
//!
//! The client can stop giving out records though there are some, without an error; so can a handler that waits for
//! ever. A loop shows that it turns when it makes a step. Where there is no step to make, the client's statistics show
//! that it is polled, and that there is nothing to read or nobody to read it from.

use rdkafka::Statistics;
use service_kit::Heartbeat;

use super::lag::Behind;

/// Keeps the heart of an idle loop beating.
#[derive(Clone, Debug)]
pub(super) struct Watchdog {
    pub(super) heartbeat: Heartbeat,
}

impl Watchdog {
    /// Looks at the statistics, which only come to a loop that polls.
    pub(super) fn observe(&self, statistics: &Statistics, behind: &[Behind]) {
        let connected = |leader: i32| {
            statistics
                .brokers
                .values()
                .any(|broker| broker.nodeid == leader && broker.state == "UP")
        };
        // Not behind, or behind only what nobody can read now.
        if !behind.iter().any(|partition| connected(partition.leader)) {
            self.heartbeat.beat();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::statistics::Broker;

    use super::*;

    /// Whether a loop that makes no step is alive, long after its last one.
    async fn is_alive(broker_state: &str, behind: &[Behind]) -> bool {
        let limit = Duration::from_secs(10);
        let watchdog = Watchdog { heartbeat: Heartbeat::new("loop", limit) };
        let broker = Broker { nodeid: 1, state: broker_state.into(), ..Broker::default() };
        let statistics =
            Statistics { brokers: [("b".to_owned(), broker)].into(), ..Statistics::default() };
        tokio::time::advance(2 * limit).await;
        watchdog.observe(&statistics, behind);
        watchdog.heartbeat.is_alive()
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_reads_nothing_is_dead_only_if_there_is_something_to_read() {
        assert!(is_alive("UP", &[]).await);
        assert!(!is_alive("UP", &[Behind { leader: 1 }]).await);
        assert!(is_alive("UP", &[Behind { leader: 2 }]).await);
        assert!(is_alive("CONNECT", &[Behind { leader: 1 }]).await);
    }
}
