//! Settings of a consumer.

use std::time::Duration;

use conf::Conf;
use rdkafka::ClientConfig;
use service_kit::Heartbeat;
use service_kit::config::millis_within;

use crate::PoisonSettings;

/// Membership of a consumer in its group.
#[derive(Clone, Debug, Conf)]
pub struct ConsumerSettings {
    /// Static member name in the consumer group, unique for each instance; a restart under the same
    /// name reassigns no partition
    #[conf(env)]
    pub consumer_instance: Option<String>,

    /// Time after which the group reassigns the partitions of an unresponsive instance, in
    /// milliseconds
    #[conf(env, default_value = "10000", value_parser = parse_session_timeout)]
    pub consumer_session_timeout: Duration,

    /// Poison breaker.
    #[conf(flatten)]
    pub poison: PoisonSettings,
}

/// Options of a runner, set by the service.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// Membership in the group, set by the operator.
    pub member: ConsumerSettings,
    /// Maximum number of records that are handled together.
    pub batch_size: usize,
    /// Maximum time between two polls, after which the group considers the member dead. The runner
    /// also polls while it waits for a dependency, so only a handler that hangs exceeds it.
    pub max_poll_interval: Duration,
    /// The heartbeat of the loop.
    pub heartbeat: Heartbeat,
}

/// [`RunnerOptions::max_poll_interval`] of the services, equal to Kafka's default.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_mins(5);

impl RunnerOptions {
    /// Adds the consumer settings to those that all clients share.
    pub(super) fn configure(&self, config: &mut ClientConfig) {
        let millis = |duration: Duration| duration.as_millis().to_string();
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            // The runner stores an offset after the effect.
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(self.member.consumer_session_timeout))
            // A member detects a rebalance with its next heartbeat, and the rebalance waits for all
            // members.
            .set("heartbeat.interval.ms", "1000")
            .set("max.poll.interval.ms", millis(self.max_poll_interval))
            // Prefetch a few batches, whatever the backlog. The default is 64 MB or more.
            .set("queued.min.messages", "5000")
            .set("queued.max.messages.kbytes", "2048")
            .set("fetch.max.bytes", "1048576")
            // Pause of fetching while the prefetch queue is full. The default of one second is much
            // longer than the prefetched records last.
            .set("fetch.queue.backoff.ms", "50")
            // Wait briefly for more records, unless there is a backlog: each batch costs a commit, and
            // each fetch a request. With 32 KB, an order cost a tenth more processor time.
            .set("fetch.min.bytes", "262144")
            .set("fetch.wait.max.ms", "100")
            // Detects a topic that is created later within seconds.
            .set("topic.metadata.refresh.interval.ms", "5000")
            // The source of the lag metrics and of the heartbeat of an idle loop.
            .set("statistics.interval.ms", "1000");
        if let Some(instance) = &self.member.consumer_instance {
            config.set("group.instance.id", instance);
        }
    }
}

/// Brokers accept 6 seconds to 30 minutes by default. The client accepts at most
/// [`MAX_POLL_INTERVAL`].
fn parse_session_timeout(text: &str) -> Result<Duration, String> {
    millis_within(6_000..=300_000)(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_timeout_must_suit_broker_and_client() {
        for accepted in ["6000", "10000", "300000"] {
            let session = parse_session_timeout(accepted).unwrap();
            assert!(session <= MAX_POLL_INTERVAL, "the client rejects {accepted}");
        }
        for refused in ["", "5999", "300001", "10s"] {
            assert!(parse_session_timeout(refused).is_err(), "{refused:?}");
        }
    }
}
