//! The settings of outbox-relay.

use std::time::Duration;

use conf::Conf;
use contracts::topics;
use messaging::{KafkaSettings, PoisonSettings};
use service_kit::config::{all_of, parse_port, timeout_millis, within};
use service_kit::lifecycle::settings::CommonSettings;
use service_kit::telemetry::build_info;
use store::DatabaseSettings;

/// outbox-relay: publishes events from the outbox in Postgres to Kafka, in sequence per order
#[derive(Clone, Debug, Conf)]
#[conf(version_fn = build_info::version, validation_predicate = Config::check)]
pub struct Config {
    /// The settings that all services have.
    #[conf(flatten)]
    pub common: CommonSettings,

    /// Port of `/livez`, `/readyz` and `/metrics`
    #[conf(env, default_value = "9102", value_parser = parse_port)]
    pub(crate) management_port: u16,

    #[conf(flatten)]
    pub(crate) database: DatabaseSettings,

    #[conf(flatten)]
    pub(crate) kafka: KafkaSettings,

    /// Poll interval when the outbox is empty, in milliseconds
    #[conf(env, default_value = "1000", value_parser = timeout_millis)]
    pub(crate) outbox_poll_interval: Duration,

    /// Duration of a shard lease, in milliseconds; another relay takes over the shard when the
    /// lease expires
    #[conf(env, default_value = "10000", value_parser = timeout_millis)]
    pub(crate) outbox_lease: Duration,

    // The maximum is the number of shards: more lanes would have no work.
    /// Number of concurrent publishing lanes
    #[conf(env, default_value = "4", value_parser = within(1..=64))]
    pub(crate) outbox_lanes: usize,

    /// Maximum number of rows of one shard that are published together
    #[conf(env, default_value = "96", value_parser = within(1..=1000))]
    pub(crate) outbox_shard_batch: i64,

    #[conf(flatten)]
    pub(crate) poison: PoisonSettings,

    /// Topic of `outbox.dead-lettered` events
    #[conf(env, default(topics::DEAD_LETTERS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) dead_letters_topic: String,
}

impl Config {
    /// A publish must end before the lease that it began under expires. A lease is renewed after a
    /// quarter of its duration, and a renewal can be late.
    fn check(&self) -> Result<(), String> {
        all_of(&[
            (
                self.database.database_pool_size >= self.outbox_lanes,
                "DATABASE_POOL_SIZE must be at least OUTBOX_LANES, or lanes wait for connections",
            ),
            (
                self.outbox_lease * 2 / 3 >= self.publish_and_mark() + RENEWAL,
                "OUTBOX_LEASE must be at least 1.5 times (KAFKA_PUBLISH_TIMEOUT + 1500)",
            ),
            (
                self.common.shutdown_timeout >= self.publish_and_mark(),
                "SHUTDOWN_TIMEOUT must be at least KAFKA_PUBLISH_TIMEOUT + 1000",
            ),
        ])
    }

    /// The maximum time of a batch from send to mark: the client checks for expired records once a
    /// second, and the mark takes time too.
    pub(crate) fn publish_and_mark(&self) -> Duration {
        self.kafka.kafka_publish_timeout + Duration::from_secs(1)
    }

    /// The maximum time between two renewals of the leases: a quarter of a lease, and the events in
    /// flight if shards are given back.
    pub(crate) fn max_renewal_interval(&self) -> Duration {
        self.outbox_lease / 4 + self.longest_step()
    }

    /// The maximum time of a lane's step: claim, publish with too many events in flight already,
    /// mark.
    pub(crate) fn longest_step(&self) -> Duration {
        self.publish_and_mark() + 3 * self.database.longest_statement()
    }
}

/// Time that a renewal of the leases may take before lanes have to stop sending.
const RENEWAL: Duration = Duration::from_millis(500);
