//! What happens when partitions come and go.
//!
//! All of it happens inside of a poll, so never while a handler is at work. Nothing here waits for a commit: the client
//! commits by itself what was stored for the partitions that it gives away, and does not ask for the next assignment
//! before the coordinator has answered. To wait here too would only hold up the thread that polls.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Statistics, TopicPartitionList};

use super::lag::Lag;
use super::offsets::Holdings;
use super::skipped;
use super::watchdog::Watchdog;
use crate::context::{Refusal, quiet_error, quiet_log};

/// What the client tells.
#[derive(Clone, Debug)]
pub(super) struct RebalanceContext {
    pub(super) holdings: Holdings,
    pub(super) lag: Lag,
    pub(super) watchdog: Watchdog,
    pub(super) refusal: Refusal,
}

impl RebalanceContext {
    fn show_holdings(&self) {
        let held = u32::try_from(self.holdings.count()).unwrap_or(u32::MAX);
        metrics::gauge!("consumer_partitions_held", "topic" => self.lag.topic()).set(held);
    }
}

impl ClientContext for RebalanceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.refusal.observe(&error, reason);
        quiet_error(&error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        if self.holdings.is_retired() {
            return;
        }
        let behind = self.lag.observe(&statistics, &self.holdings);
        self.watchdog.observe(&statistics, &behind);
    }
}

impl ConsumerContext for RebalanceContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Another member has taken its place, whose partitions these are not.
        if self.holdings.is_retired() {
            return;
        }
        match rebalance {
            Rebalance::Revoke(partitions) if partitions.count() > 0 => {
                let lost = consumer.assignment_lost();
                tracing::info!(partitions = partitions.count(), lost, "partitions revoked");
                // The client keeps a pause for the day the partition comes back, when nobody would end it.
                if let Err(error) = consumer.resume(partitions) {
                    tracing::warn!(%error, "revoked partitions not resumed");
                }
                self.holdings.lose(numbers(partitions));
                self.lag.forget(numbers(partitions));
                self.show_holdings();
            }
            Rebalance::Assign(partitions) => {
                metrics::counter!("consumer_rebalances_total", "topic" => self.lag.topic())
                    .increment(1);
                // Between one round of a rebalance and the next, which begins with the end of this call, the group takes
                // a commit. Whoever leaves in the middle of one waits for that.
                if let Err(error) = consumer.commit_consumer_state(CommitMode::Async) {
                    tracing::debug!(%error, "commit not sent");
                }
                // Most are about the partitions of others.
                if partitions.count() > 0 {
                    tracing::info!(partitions = partitions.count(), "partitions assigned");
                    let numbers = numbers(partitions);
                    skipped::begin(&self.lag.topic(), &numbers);
                    self.holdings.gain(numbers);
                    self.show_holdings();
                }
            }
            _ => {}
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions.elements().iter().map(TopicPartitionListElem::partition).collect()
}
