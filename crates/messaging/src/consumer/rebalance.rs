//! What happens when partitions come and go.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::context::{quiet_error, quiet_log};

/// Commits what was stored before a partition is given away, so that the next owner begins where this one ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RebalanceContext;

impl ClientContext for RebalanceContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        quiet_error(&error, reason);
    }
}

impl ConsumerContext for RebalanceContext {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(partitions) if partitions.count() > 0 => {
                tracing::info!(partitions = partitions.count(), "partitions revoked");
                // The client keeps a pause for the day the partition comes back, when nobody would end it.
                if let Err(error) = consumer.resume(partitions) {
                    tracing::warn!(%error, "revoked partitions not resumed");
                }
                // Sent ahead of the request that gives them away, on the same connection. To wait for the answer would
                // hold up this thread for as long as the coordinator is away.
                if let Err(error) = commit(consumer, CommitMode::Async) {
                    tracing::warn!(%error, "offsets not committed, some records will come again");
                }
            }
            Rebalance::Assign(partitions) if partitions.count() > 0 => {
                tracing::info!(partitions = partitions.count(), "partitions assigned");
            }
            _ => {}
        }
    }
}

/// Commits what was stored and waits for the answer, however long that takes; that nothing was stored is no error.
pub(super) fn commit_stored<C: Consumer<RebalanceContext>>(consumer: &C) -> Result<(), KafkaError> {
    commit(consumer, CommitMode::Sync)
}

fn commit<C: Consumer<RebalanceContext>>(consumer: &C, mode: CommitMode) -> Result<(), KafkaError> {
    match consumer.commit_consumer_state(mode) {
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        result => result,
    }
}
