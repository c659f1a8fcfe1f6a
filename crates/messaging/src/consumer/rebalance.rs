//! Assignment and revocation of partitions.
//!
//! The callbacks run inside a poll, so never while a handler runs. They do not wait for a commit:
//! the client itself commits the stored offsets of revoked partitions, and does not request the
//! next assignment before the coordinator has responded. Waiting here would only block the polling
//! thread.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Statistics, TopicPartitionList};
use service_kit::Heartbeat;
use service_kit::convert::count;

use super::lag::Lag;
use super::offsets::Assignment;
use super::{skipped, watchdog};
use crate::client::context::QuietContext;

/// The callbacks of the consumer client.
#[derive(Clone, Debug)]
pub(super) struct RebalanceContext {
    pub(super) assignment: Assignment,
    pub(super) lag: Lag,
    pub(super) heartbeat: Heartbeat,
    pub(super) client: QuietContext,
}

impl RebalanceContext {
    fn update_assignment_gauge(&self) {
        metrics::gauge!("consumer_partitions_held", "topic" => self.lag.topic())
            .set(count(self.assignment.count()));
    }
}

impl ClientContext for RebalanceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        if self.assignment.is_retired() {
            return;
        }
        self.client.observe_brokers(&statistics);
        let leaders = self.lag.observe(&statistics, &self.assignment);
        watchdog::observe(&self.heartbeat, &statistics, &leaders);
    }
}

impl ConsumerContext for RebalanceContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // Another client has replaced this one, and these are not its partitions.
        if self.assignment.is_retired() {
            return;
        }
        match rebalance {
            Rebalance::Revoke(partitions) if partitions.count() > 0 => {
                let lost = consumer.assignment_lost();
                tracing::info!(partitions = partitions.count(), lost, "partitions revoked");
                // The client would keep the pause until the partition is assigned again, and
                // nothing would resume it then.
                if let Err(error) = consumer.resume(partitions) {
                    tracing::warn!(%error, "revoked partitions not resumed");
                }
                self.assignment.revoke(numbers(partitions));
                self.lag.forget(numbers(partitions));
                self.update_assignment_gauge();
            }
            Rebalance::Assign(partitions) => {
                metrics::counter!("consumer_rebalances_total", "topic" => self.lag.topic())
                    .increment(1);
                // The coordinator accepts commits between two rounds of a rebalance. The next round
                // begins when this callback returns. A member that leaves during a rebalance waits
                // for this.
                if let Err(error) = consumer.commit_consumer_state(CommitMode::Async) {
                    tracing::debug!(%error, "commit not sent");
                }
                // Most rebalances concern only partitions of other members.
                if partitions.count() > 0 {
                    tracing::info!(partitions = partitions.count(), "partitions assigned");
                    let numbers = numbers(partitions);
                    skipped::begin(&self.lag.topic(), &numbers);
                    self.assignment.assign(numbers);
                    self.update_assignment_gauge();
                }
            }
            _ => {}
        }
    }
}

fn numbers(partitions: &TopicPartitionList) -> Vec<i32> {
    partitions.elements().iter().map(TopicPartitionListElem::partition).collect()
}
