//! Settings of the engine, and the times that follow from them.

use std::time::Duration;

use messaging::PoisonSettings;

/// How an engine publishes its queue. Each service has settings of its own for this.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Duration of a shard lease.
    pub lease: Duration,
    /// Number of concurrent publishing lanes.
    pub lanes: usize,
    /// Maximum number of rows of one shard that are published together.
    pub shard_batch: i64,
    /// Poll interval when no row is due.
    pub poll_interval: Duration,
    /// Maximum time until the delivery report of a record.
    pub publish_timeout: Duration,
    /// Maximum time of a statement, with the wait for its connection.
    pub longest_statement: Duration,
    /// Time that a loop may exceed its longest step by before it counts as stalled.
    pub liveness_grace: Duration,
    /// Settings of the poison breaker.
    pub poison: PoisonSettings,
}

/// Time that a renewal of the leases may take before lanes have to stop sending.
const RENEWAL: Duration = Duration::from_millis(500);

impl EngineSettings {
    /// Whether a publish ends before the lease that it began under expires. A lease is renewed
    /// after a quarter of its duration, and a renewal can be late.
    pub fn lease_suffices(&self) -> bool {
        self.lease * 2 / 3 >= self.publish_and_mark() + RENEWAL
    }

    /// The maximum time of a batch from send to mark: the client checks for expired records once a
    /// second, and the mark takes time too.
    pub fn publish_and_mark(&self) -> Duration {
        self.publish_timeout + Duration::from_secs(1)
    }

    /// The maximum time between two renewals of the leases: a quarter of a lease, and the events in
    /// flight if shards are given back.
    pub(crate) fn max_renewal_interval(&self) -> Duration {
        self.lease / 4 + self.longest_step()
    }

    /// The maximum time of a lane's step: claim, publish with too many events in flight already,
    /// mark.
    pub fn longest_step(&self) -> Duration {
        self.publish_and_mark() + 3 * self.longest_statement
    }
}
