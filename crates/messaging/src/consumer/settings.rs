//! What a service and its operator choose.

use std::time::Duration;

use conf::Conf;
use rdkafka::ClientConfig;
use service_kit::Heartbeat;
use service_kit::config::number_in;

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

    /// Whether poison is held.
    #[conf(flatten)]
    pub poison: PoisonSettings,
}

/// What a runner reads, and how.
#[derive(Clone, Debug)]
pub struct RunnerOptions {
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// How this member is known to the group.
    pub member: ConsumerSettings,
    /// The most records that are handled together.
    pub batch_size: usize,
    /// The longest between two polls, after which the group takes the member for dead. Waiting for something that is
    /// away is polling too, so it is only ever reached by a handler that hangs.
    pub max_poll_interval: Duration,
    /// The loop's sign of life.
    pub heartbeat: Heartbeat,
}

/// [`RunnerOptions::max_poll_interval`] of the services; Kafka's own default.
pub const MAX_POLL_INTERVAL: Duration = Duration::from_mins(5);

impl RunnerOptions {
    /// The settings of the client, on top of what all clients have in common.
    pub(super) fn configure(&self, config: &mut ClientConfig) {
        let millis = |duration: Duration| duration.as_millis().to_string();
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            // An offset is stored by hand, after the effect.
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", millis(self.member.consumer_session_timeout))
            // A rebalance waits until each member has asked whether there is one.
            .set("heartbeat.interval.ms", "1000")
            .set("max.poll.interval.ms", millis(self.max_poll_interval))
            // What is read ahead: some batches, however large the backlog. By default it is 64 MB and more.
            .set("queued.min.messages", "5000")
            .set("queued.max.messages.kbytes", "3072")
            .set("fetch.max.bytes", "2097152")
            // Until it looks whether to read on. A second, which is the default, is much longer than what was read ahead
            // lasts.
            .set("fetch.queue.backoff.ms", "50")
            // A little patience while little arrives: every batch is a commit, and every question costs something.
            .set("fetch.min.bytes", "32768")
            .set("fetch.wait.max.ms", "100")
            // A topic that is made later is noticed soon.
            .set("topic.metadata.refresh.interval.ms", "5000")
            // Where lag and the sign of life come from.
            .set("statistics.interval.ms", "1000");
        if let Some(instance) = &self.member.consumer_instance {
            config.set("group.instance.id", instance);
        }
    }
}

/// Brokers take 6 seconds to 30 minutes, unless they are told otherwise; the client no more than
/// [`MAX_POLL_INTERVAL`].
fn parse_session_timeout(text: &str) -> Result<Duration, String> {
    number_in(text, 6_000..=300_000).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_as_long_as_brokers_and_client_take() {
        for taken in ["6000", "10000", "300000"] {
            let session = parse_session_timeout(taken).unwrap();
            assert!(session <= MAX_POLL_INTERVAL, "the client refuses {taken}");
        }
        for refused in ["", "5999", "300001", "10s"] {
            assert!(parse_session_timeout(refused).is_err(), "{refused:?}");
        }
    }
}
