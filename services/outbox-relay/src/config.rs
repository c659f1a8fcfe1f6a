//! The settings of outbox-relay.

use std::time::Duration;

use conf::Conf;
use contracts::topics;
use messaging::{KafkaSettings, PoisonSettings};
use publishing::EngineSettings;
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
    fn check(&self) -> Result<(), String> {
        let engine = self.engine();
        all_of(&[
            (
                self.database.database_pool_size >= self.outbox_lanes,
                "DATABASE_POOL_SIZE must be at least OUTBOX_LANES, or lanes wait for connections",
            ),
            (
                engine.lease_suffices(),
                "OUTBOX_LEASE must be at least 1.5 times (KAFKA_PUBLISH_TIMEOUT + 1500)",
            ),
            (
                self.common.shutdown_timeout >= engine.publish_and_mark(),
                "SHUTDOWN_TIMEOUT must be at least KAFKA_PUBLISH_TIMEOUT + 1000",
            ),
        ])
    }

    /// The settings of the engine that publishes the outbox.
    pub(crate) fn engine(&self) -> EngineSettings {
        EngineSettings {
            lease: self.outbox_lease,
            lanes: self.outbox_lanes,
            shard_batch: self.outbox_shard_batch,
            poll_interval: self.outbox_poll_interval,
            publish_timeout: self.kafka.kafka_publish_timeout,
            longest_statement: self.database.longest_statement(),
            liveness_grace: self.common.liveness_grace,
            poison: self.poison.clone(),
        }
    }
}
