//! The settings of status-consumer.

use std::time::Duration;

use conf::Conf;
use contracts::topics;
use messaging::KafkaSettings;
use messaging::consumer::ConsumerSettings;
use service_kit::config::{all_of, parse_port};
use service_kit::lifecycle::settings::CommonSettings;
use service_kit::telemetry::build_info;
use store::DatabaseSettings;

use crate::apply::CONNECTIONS;

/// status-consumer: applies delivery events to the status of orders, each event once
#[derive(Clone, Debug, Conf)]
#[conf(version_fn = build_info::version, validation_predicate = Config::check)]
pub struct Config {
    /// The settings that all services have.
    #[conf(flatten)]
    pub common: CommonSettings,

    /// Port of `/livez`, `/readyz` and `/metrics`
    #[conf(env, default_value = "9104", value_parser = parse_port)]
    pub(crate) management_port: u16,

    #[conf(flatten)]
    pub(crate) database: DatabaseSettings,

    #[conf(flatten)]
    pub(crate) kafka: KafkaSettings,

    /// Topic of delivery-service's events: `order.shipped`, `order.delivered` and so on
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_events_topic: String,

    /// Consumer group that reads delivery-service's events
    #[conf(env, default(topics::STATUS_GROUP.to_owned()), value_parser = topics::parse_name)]
    pub(crate) status_group: String,

    #[conf(flatten)]
    pub(crate) consumer: ConsumerSettings,
}

impl Config {
    /// The maximum time that the consumer may wait for the database, or for Kafka to accept a dead
    /// letter.
    pub(crate) fn longest_step(&self) -> Duration {
        self.database.longest_statement().max(self.kafka.kafka_publish_timeout)
    }

    fn check(&self) -> Result<(), String> {
        all_of(&[
            (
                self.database.database_pool_size >= CONNECTIONS,
                "DATABASE_POOL_SIZE must be at least 2, for the two parts of a large batch",
            ),
            (
                topics::dead_letter_topic_fits(&self.delivery_events_topic, &self.status_group),
                "DELIVERY_EVENTS_TOPIC and STATUS_GROUP are too long for the name of a dead letter topic",
            ),
        ])
    }
}
