//! The settings of delivery-service.

use std::time::Duration;

use conf::Conf;
use contracts::topics;
use messaging::KafkaSettings;
use messaging::consumer::ConsumerSettings;
use publishing::EngineSettings;
use service_kit::config::{all_of, millis, parse_port, timeout_millis};
use service_kit::lifecycle::settings::CommonSettings;
use service_kit::telemetry::build_info;
use store::DatabaseSettings;

/// delivery-service: ships and delivers every new order, and publishes each step
#[derive(Clone, Debug, Conf)]
#[conf(version_fn = build_info::version, validation_predicate = Config::check)]
pub struct Config {
    /// The settings that all services have.
    #[conf(flatten)]
    pub common: CommonSettings,

    /// Port of `/livez`, `/readyz` and `/metrics`
    #[conf(env, default_value = "9103", value_parser = parse_port)]
    pub(crate) management_port: u16,

    #[conf(flatten)]
    pub(crate) database: DatabaseSettings,

    #[conf(flatten)]
    pub(crate) kafka: KafkaSettings,

    /// Minimum duration of one delivery step, in milliseconds
    #[conf(env, default_value = "2000", value_parser = millis)]
    pub(crate) delivery_min_delay: Duration,

    /// Maximum duration of one delivery step, in milliseconds
    #[conf(env, default_value = "8000", value_parser = millis)]
    pub(crate) delivery_max_delay: Duration,

    /// Maximum interval between two polls for due delivery steps, in milliseconds
    #[conf(env, default_value = "500", value_parser = timeout_millis)]
    pub(crate) delivery_poll_interval: Duration,

    /// Duration of a lease on a shard of the shipments, in milliseconds; another instance takes
    /// over the shard when the lease expires
    #[conf(env, default_value = "10000", value_parser = timeout_millis)]
    pub(crate) delivery_lease: Duration,

    /// Topic of sales-api's events: `order.created` and `order.cancellation-requested`
    #[conf(env, default(topics::ORDER_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) order_events_topic: String,

    /// Topic of delivery-service's events: `order.shipped`, `order.delivered` and so on
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_events_topic: String,

    /// Consumer group that reads sales-api's events
    #[conf(env, default(topics::DELIVERY_GROUP.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_group: String,

    #[conf(flatten)]
    pub(crate) consumer: ConsumerSettings,
}

impl Config {
    fn check(&self) -> Result<(), String> {
        let engine = self.engine();
        all_of(&[
            (
                self.delivery_min_delay <= self.delivery_max_delay,
                "DELIVERY_MIN_DELAY must not be longer than DELIVERY_MAX_DELAY",
            ),
            (
                self.database.database_pool_size > LANES,
                "DATABASE_POOL_SIZE must be at least 3, for two lanes and the intake",
            ),
            (
                engine.lease_suffices(),
                "DELIVERY_LEASE must be at least 1.5 times (KAFKA_PUBLISH_TIMEOUT + 1500)",
            ),
            (
                self.common.shutdown_timeout >= engine.publish_and_mark(),
                "SHUTDOWN_TIMEOUT must be at least KAFKA_PUBLISH_TIMEOUT + 1000",
            ),
            (
                self.order_events_topic != self.delivery_events_topic,
                "ORDER_EVENTS_TOPIC and DELIVERY_EVENTS_TOPIC must differ",
            ),
            (
                topics::dead_letter_topic_fits(&self.order_events_topic, &self.delivery_group),
                "ORDER_EVENTS_TOPIC and DELIVERY_GROUP are too long for the name of a dead letter topic",
            ),
        ])
    }

    /// The settings of the engine that publishes the steps.
    pub(crate) fn engine(&self) -> EngineSettings {
        EngineSettings {
            lease: self.delivery_lease,
            lanes: LANES,
            shard_batch: SHARD_BATCH,
            poll_interval: self.delivery_poll_interval,
            publish_timeout: self.kafka.kafka_publish_timeout,
            longest_statement: self.database.longest_statement(),
            liveness_grace: self.common.liveness_grace,
            poison: self.consumer.poison.clone(),
        }
    }
}

/// Number of concurrent publishing lanes.
const LANES: usize = 2;

/// Maximum number of steps of one shard that are published together.
const SHARD_BATCH: i64 = 32;
