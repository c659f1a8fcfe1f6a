//! Connection settings of Kafka.

use std::time::Duration;

use conf::Conf;
use rdkafka::ClientConfig;
use service_kit::config::millis_within;

use crate::KafkaSecurity;

/// Connection settings of Kafka.
#[derive(Clone, Debug, Conf)]
pub struct KafkaSettings {
    /// Bootstrap brokers, such as `host:9092,host:9092`
    #[conf(env, value_parser = parse_brokers)]
    pub kafka_brokers: String,

    // librdkafka accepts at most 900 seconds, and needs some time to collect a batch.
    /// Maximum time until the broker acknowledges a record, in milliseconds
    #[conf(env, default_value = "5000", value_parser = millis_within(100..=900_000))]
    pub kafka_publish_timeout: Duration,

    /// Encryption and authentication.
    #[conf(flatten)]
    pub security: KafkaSecurity,
}

impl KafkaSettings {
    /// The client configuration that producers, consumers and admin clients share.
    pub(crate) fn client(&self, client_id: &str) -> ClientConfig {
        // Must run before librdkafka initializes OpenSSL. Initialized this way, OpenSSL stays
        // usable until the process ends. Otherwise it is cleaned up when `main` returns, while a
        // client may still be closing (see `TopicReader`) or polling (see `RenewedProducer`).
        openssl::init();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_brokers)
            .set("client.id", client_id)
            // A broker would create the topic with its own default partition count and retention.
            .set("allow.auto.create.topics", "false")
            // Reconnects within a second after a broker returns.
            .set("reconnect.backoff.max.ms", "1000")
            .set("socket.keepalive.enable", "true");
        self.security.configure(&mut config);
        config
    }
}

fn parse_brokers(text: &str) -> Result<String, &'static str> {
    let well_formed = |broker: &str| {
        broker
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if text.split(',').all(|broker| well_formed(broker.trim())) {
        Ok(text.to_owned())
    } else {
        Err("must be a comma-separated list of host:port")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_hosts_with_ports() {
        assert!(parse_brokers("127.0.0.1:19092").is_ok());
        assert!(parse_brokers("a:9092, b:9092").is_ok());
        for refused in ["", "localhost", "a:9092,", ":9092", "a:port"] {
            assert!(parse_brokers(refused).is_err(), "{refused:?}");
        }
    }
}
