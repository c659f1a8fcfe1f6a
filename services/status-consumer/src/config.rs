//! The settings of status-consumer.

use std::time::Duration;

use conf::Conf;
use contracts::topics;
use messaging::KafkaSettings;
use messaging::consumer::ConsumerSettings;
use service_kit::config::{CommonSettings, ServiceConfig, all_of, parse_port};
use store::DatabaseSettings;

/// status-consumer: applies what delivery reports to the orders, each event once
#[derive(Clone, Debug, Conf)]
#[conf(version, validation_predicate = Config::check)]
pub struct Config {
    #[conf(flatten)]
    pub(crate) common: CommonSettings,

    /// Port of /livez, /readyz and /metrics
    #[conf(env, default_value = "9104", value_parser = parse_port)]
    management_port: u16,

    #[conf(flatten)]
    pub(crate) database: DatabaseSettings,

    #[conf(flatten)]
    pub(crate) kafka: KafkaSettings,

    /// Topic of delivery steps
    #[conf(env, default(topics::DELIVERY_EVENTS.to_owned()), value_parser = topics::parse_name)]
    pub(crate) delivery_events_topic: String,

    /// Consumer group that reads delivery steps
    #[conf(env, default(topics::STATUS_GROUP.to_owned()), value_parser = topics::parse_name)]
    pub(crate) status_group: String,

    #[conf(flatten)]
    pub(crate) consumer: ConsumerSettings,
}

impl Config {
    /// The longest that the consumer rightly waits for an answer: of the database, or of Kafka to a dead letter.
    pub(crate) fn longest_step(&self) -> Duration {
        let database =
            self.database.database_connect_timeout + self.database.database_statement_timeout;
        database.max(self.kafka.kafka_publish_timeout)
    }

    fn check(&self) -> Result<(), String> {
        all_of(&[(
            topics::fits_dead_letters(&self.delivery_events_topic, &self.status_group),
            "DELIVERY_EVENTS_TOPIC and STATUS_GROUP are too long to name a topic of dead letters",
        )])
    }
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonSettings {
        &self.common
    }

    fn management_port(&self) -> u16 {
        self.management_port
    }
}
