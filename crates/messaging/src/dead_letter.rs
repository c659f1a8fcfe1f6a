//! Dead letters: records that a group can never process, kept whole, with the reason, in a separate
//! topic.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use contracts::cloud_events::trace_id;
use contracts::timestamp_text;
use contracts::topics::dead_letter_topic;
use rdkafka::error::KafkaError;
use service_kit::Chain;
use service_kit::health::ProbeFuture;
use sha2::{Digest, Sha256};

use crate::{KafkaSettings, PublishError, Publisher, Record};

/// Headers that a dead letter has in addition to the headers of the record.
pub mod header {
    /// The topic of the record.
    pub const ORIGINAL_TOPIC: &str = "dlq-original-topic";
    /// Its partition.
    pub const ORIGINAL_PARTITION: &str = "dlq-original-partition";
    /// Its offset.
    pub const ORIGINAL_OFFSET: &str = "dlq-original-offset";
    /// Its timestamp, in milliseconds since 1970. Empty if it had none.
    pub const ORIGINAL_TIMESTAMP: &str = "dlq-original-timestamp";
    /// The error class, a short and stable name.
    pub const ERROR_CLASS: &str = "dlq-error-class";
    /// The error message, at most 1 KiB.
    pub const ERROR_MESSAGE: &str = "dlq-error-message";
    /// When the record was dead-lettered for the first time (RFC 3339).
    pub const FIRST_FAILED_AT: &str = "dlq-first-failed-at";
    /// How often the record was redriven.
    pub const REDRIVE_COUNT: &str = "dlq-redrive-count";
    /// Only in a truncated dead letter, because the dead letter topic refused the whole record: the
    /// size of the original value, in bytes. The dead letter has only the beginning of that value.
    /// The whole record is at the original topic, partition and offset, as long as that topic
    /// retains it.
    pub const TRUNCATED: &str = "dlq-truncated";
    /// The SHA-256 of the original value, in hexadecimal. Set together with [`TRUNCATED`].
    pub const SHA256: &str = "dlq-original-sha256";

    /// The headers of every dead letter.
    pub const ALL: [&str; 8] = [
        ORIGINAL_TOPIC,
        ORIGINAL_PARTITION,
        ORIGINAL_OFFSET,
        ORIGINAL_TIMESTAMP,
        ERROR_CLASS,
        ERROR_MESSAGE,
        FIRST_FAILED_AT,
        REDRIVE_COUNT,
    ];
}

/// Maximum size of the key, and of all headers together, in a truncated dead letter, in bytes.
const KEPT_BYTES: usize = 1024;
/// Maximum size of the value in a truncated dead letter, in bytes.
const KEPT_VALUE_BYTES: usize = 16 * 1024;

/// Maximum size of the error message in a dead letter, in bytes.
const MESSAGE_LIMIT: usize = 1024;

/// Why a record is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterReason {
    /// A short, stable name for headers and metrics.
    pub class: &'static str,
    /// The error message.
    pub message: String,
    /// Whether the message may quote the record. If so, it is written only to the dead letter.
    pub quotes_record: bool,
}

impl DeadLetterReason {
    /// The message, if it may appear in logs and traces.
    pub fn loggable_message(&self) -> Option<&str> {
        (!self.quotes_record).then_some(&self.message)
    }
}

/// Writes the dead letters of one group for the topic that it reads.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    publisher: Publisher,
    topic: String,
}

impl DeadLetters {
    /// The dead letters of `group`, which reads `topic`. They have a separate producer without a
    /// size limit: a record that a producer of events would refuse for its size must still be
    /// stored here.
    pub fn new(settings: &KafkaSettings, topic: &str, group: &str) -> Result<Self, KafkaError> {
        let topic = dead_letter_topic(topic, group);
        let publisher = Publisher::of_any_size(group, &topic, settings)?;
        Ok(Self { publisher, topic })
    }

    /// A readiness check: whether a broker responds.
    pub fn probe(&self) -> impl Fn() -> ProbeFuture + Send + Sync + 'static {
        self.publisher.probe()
    }

    /// Stores a record, and returns after Kafka has acknowledged it. The offset of the record must
    /// not be stored before that. If the topic refuses the record, it is stored truncated.
    pub async fn store(
        &self,
        record: &Record,
        reason: &DeadLetterReason,
    ) -> Result<(), PublishError> {
        let headers = headers(record, reason, Utc::now());
        publish_letter(&self.publisher, record, &self.topic, &headers).await?;
        metrics::counter!("consumer_dead_letters_total", "topic" => record.topic.clone(), "class" => reason.class)
            .increment(1);
        let header = |name| record.header(name).and_then(|value| str::from_utf8(value).ok());
        tracing::error!(
            order_id = header("ce_subject"),
            event_id = header("ce_id"),
            correlation_id = header("ce_correlationid"),
            trace_id = header("traceparent").and_then(trace_id),
            topic = record.topic,
            partition = record.partition,
            offset = record.offset,
            error.class = reason.class,
            error = reason.loggable_message(),
            "record dead-lettered"
        );
        Ok(())
    }
}

/// Writes a record to a dead letter topic, whole, or truncated if the topic refuses it.
pub(crate) async fn publish_letter(
    publisher: &Publisher,
    record: &Record,
    topic: &str,
    headers: &[(String, String)],
) -> Result<(), PublishError> {
    match publisher.forward(record, topic, headers).await {
        Err(PublishError::Refused(error)) => {
            tracing::error!(
                topic = record.topic,
                partition = record.partition,
                offset = record.offset,
                error = %Chain(&error),
                "dead letter refused; storing it truncated"
            );
            let more = [headers, &truncation(record)].concat();
            publisher.forward(&truncated(record), topic, &more).await
        }
        result => result,
    }
}

/// The headers of a truncated dead letter.
fn truncation(record: &Record) -> Vec<(String, String)> {
    // It is truncated already, and has these headers.
    if record.header(header::TRUNCATED).is_some() {
        return Vec::new();
    }
    let bytes = record.value.as_ref().map_or(0, Vec::len);
    vec![
        (header::TRUNCATED.to_owned(), bytes.to_string()),
        (header::SHA256.to_owned(), value_digest(record)),
    ]
}

/// The value of [`header::SHA256`] for a record.
pub fn value_digest(record: &Record) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(record.value.as_deref().unwrap_or_default()) {
        // Writing to a `String` cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// The beginning of a record, small enough for any topic with usual limits.
fn truncated(record: &Record) -> Record {
    let mut kept = 0;
    let headers = record.headers.iter().filter(|(name, value)| {
        kept += name.len() + value.as_ref().map_or(0, Vec::len);
        // A redriven record's headers about its first failure are part of the dead letter.
        let is_of_letter = header::ALL.contains(&name.as_str())
            || [header::TRUNCATED, header::SHA256].contains(&name.as_str());
        kept <= KEPT_BYTES || is_of_letter
    });
    let beginning = |bytes: &Vec<u8>, most: usize| bytes[..bytes.len().min(most)].to_vec();
    Record {
        topic: record.topic.clone(),
        key: record.key.as_ref().map(|key| beginning(key, KEPT_BYTES)),
        value: record.value.as_ref().map(|value| beginning(value, KEPT_VALUE_BYTES)),
        headers: headers.cloned().collect(),
        ..*record
    }
}

fn headers(
    record: &Record,
    reason: &DeadLetterReason,
    now: DateTime<Utc>,
) -> Vec<(String, String)> {
    let mut message = reason.message.clone();
    message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
    let mut headers = vec![
        (header::ORIGINAL_TOPIC, record.topic.clone()),
        (header::ORIGINAL_PARTITION, record.partition.to_string()),
        (header::ORIGINAL_OFFSET, record.offset.to_string()),
        (
            header::ORIGINAL_TIMESTAMP,
            record.timestamp_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        ),
        (header::ERROR_CLASS, reason.class.to_owned()),
        (header::ERROR_MESSAGE, message),
        (header::FIRST_FAILED_AT, timestamp_text(now)),
        (header::REDRIVE_COUNT, "0".to_owned()),
    ];
    // A redriven record already has the time of its first failure and the redrive count.
    headers.retain(|(name, _)| {
        !matches!(*name, header::FIRST_FAILED_AT | header::REDRIVE_COUNT)
            || record.header(name).is_none()
    });
    headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(headers: Vec<(String, Option<Vec<u8>>)>) -> Record {
        Record {
            topic: "t".into(),
            partition: 3,
            offset: 17,
            timestamp_ms: Some(1000),
            key: None,
            value: None,
            headers,
        }
    }

    fn look_up<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
        headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let reason = DeadLetterReason {
            class: "invalid-value",
            message: "ü".repeat(1000),
            quotes_record: true,
        };
        let headers = headers(&record(vec![]), &reason, Utc::now());
        assert_eq!(look_up(&headers, "dlq-error-message").map(str::len), Some(1024));
    }

    #[test]
    fn a_redriven_record_keeps_its_first_failure() {
        let reason =
            DeadLetterReason { class: "gap", message: String::new(), quotes_record: false };
        let first = headers(&record(vec![]), &reason, Utc::now());
        assert_eq!(look_up(&first, "dlq-redrive-count"), Some("0"));
        let again = record(vec![
            ("dlq-redrive-count".into(), Some(b"1".to_vec())),
            ("dlq-first-failed-at".into(), Some(b"then".to_vec())),
        ]);
        let second = headers(&again, &reason, Utc::now());
        assert_eq!(look_up(&second, "dlq-redrive-count"), None);
        assert_eq!(look_up(&second, "dlq-first-failed-at"), None);
    }
}
