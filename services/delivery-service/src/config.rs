//! The settings of delivery-service.

use std::time::Duration;

use conf::Conf;
use contracts::topics;
use messaging::KafkaSettings;
use messaging::consumer::ConsumerSettings;
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

    /// Duration of the lease on a delivery step, in milliseconds; another instance takes over the
    /// step when the lease expires
    #[conf(env, default_value = "10000", value_parser = timeout_millis)]
    pub(crate) delivery_lease: Duration,

    /// Topic of `order.created` events
    #[conf(env, default(topics::ORDER_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) order_events_topic: String,

    /// Topic of `order.shipped` and `order.delivered` events
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_events_topic: String,

    /// Consumer group that reads `order.created` events
    #[conf(env, default(topics::DELIVERY_GROUP.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_group: String,

    #[conf(flatten)]
    pub(crate) consumer: ConsumerSettings,
}

impl Config {
    fn check(&self) -> Result<(), String> {
        all_of(&[
            (
                self.delivery_min_delay <= self.delivery_max_delay,
                "DELIVERY_MIN_DELAY must not be longer than DELIVERY_MAX_DELAY",
            ),
            (
                self.delivery_lease >= self.publish_and_mark(),
                "DELIVERY_LEASE must be at least KAFKA_PUBLISH_TIMEOUT + 2000",
            ),
            (
                self.common.shutdown_timeout >= self.publish_and_mark(),
                "SHUTDOWN_TIMEOUT must be at least KAFKA_PUBLISH_TIMEOUT + 2000",
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

    /// The maximum time of a batch from send to mark.
    pub(crate) fn publish_and_mark(&self) -> Duration {
        self.kafka.kafka_publish_timeout + MARKING
    }

    /// The maximum time of a loop's step: poll, publish, mark, and wait for the next step.
    pub(crate) fn longest_step(&self) -> Duration {
        2 * self.database.longest_statement()
            + self.kafka.kafka_publish_timeout
            + self.delivery_poll_interval
    }
}

/// Time for the statements around a publish, and for the client to detect that the publish timed
/// out.
const MARKING: Duration = Duration::from_secs(2);
