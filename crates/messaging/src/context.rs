//! librdkafka's own voice, turned down.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// While a broker is away, librdkafka reports it many times a second. The loops report an outage once, so the
/// library's own lines are kept for `RUST_LOG=librdkafka=debug`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuietContext;

impl ClientContext for QuietContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        quiet_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        quiet_error(&error, reason);
    }
}

pub(crate) fn quiet_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(target: "librdkafka", ?level, facility, message);
}

pub(crate) fn quiet_error(error: &KafkaError, reason: &str) {
    tracing::debug!(target: "librdkafka", %error, reason);
}
