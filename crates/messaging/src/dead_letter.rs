//! Records that a group can never process: kept whole, with the reason, in a topic of their own.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use contracts::cloud_events::trace_id;
use contracts::timestamp_text;
use contracts::topics::dead_letter_topic;
use rdkafka::error::KafkaError;
use service_kit::Chain;
use service_kit::health::Look;
use sha2::{Digest, Sha256};

use crate::{KafkaSettings, PublishError, Publisher, Record};

/// What a dead letter says beside the headers that the record came with.
pub mod header {
    /// The topic that the record stood in.
    pub const ORIGINAL_TOPIC: &str = "dlq-original-topic";
    /// Its partition.
    pub const ORIGINAL_PARTITION: &str = "dlq-original-partition";
    /// Its offset.
    pub const ORIGINAL_OFFSET: &str = "dlq-original-offset";
    /// Its timestamp, in milliseconds since 1970; empty where it had none.
    pub const ORIGINAL_TIMESTAMP: &str = "dlq-original-timestamp";
    /// Why it was put aside, as a short name that never changes.
    pub const ERROR_CLASS: &str = "dlq-error-class";
    /// The same in words, 1 KiB at most.
    pub const ERROR_MESSAGE: &str = "dlq-error-message";
    /// When it was put aside for the first time (RFC 3339).
    pub const FIRST_FAILED_AT: &str = "dlq-first-failed-at";
    /// How often it was sent back.
    pub const REDRIVE_COUNT: &str = "dlq-redrive-count";
    /// Only where the topic of dead letters refused the record as it was: the bytes of its value, which this dead letter
    /// has only the beginning of. The whole record is where the other headers say, as long as its topic keeps it.
    pub const TRUNCATED: &str = "dlq-truncated";
    /// The SHA-256 of the whole value, in hexadecimal digits, beside the former.
    pub const SHA256: &str = "dlq-original-sha256";

    /// Those that every dead letter has.
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

/// The most bytes of the key, and of all headers together, that a truncated dead letter keeps.
const KEPT_BYTES: usize = 1024;
/// The most bytes of the value.
const KEPT_VALUE_BYTES: usize = 16 * 1024;

/// The most bytes of an error message that a dead letter carries.
const MESSAGE_LIMIT: usize = 1024;

/// Why a record is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// A short name that never changes, for headers and metrics.
    pub class: &'static str,
    /// The error in words.
    pub message: String,
    /// Whether these words may quote the record. Then they stay where the record is.
    pub quotes_record: bool,
}

impl Verdict {
    /// What may be told where the record is not: in logs and traces.
    pub fn to_tell(&self) -> Option<&str> {
        (!self.quotes_record).then_some(&self.message)
    }
}

/// Where one group puts the dead letters of the topic that it reads.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    publisher: Publisher,
    topic: String,
}

impl DeadLetters {
    /// The dead letters of `group`, which reads `topic`. They have a producer of their own: what a producer of events would refuse for
    /// its size must still find a place here.
    pub fn new(settings: &KafkaSettings, topic: &str, group: &str) -> Result<Self, KafkaError> {
        let topic = dead_letter_topic(topic, group);
        let publisher = Publisher::of_any_size(group, &topic, settings)?;
        Ok(Self { publisher, topic })
    }

    /// A check for a readiness endpoint: whether a broker answers.
    pub fn probe(&self) -> impl Fn() -> Look + Send + Sync + 'static {
        self.publisher.probe()
    }

    /// Stores a record and returns once Kafka has acknowledged it; before that, its offset must not be stored. One that is
    /// refused as it is, is stored truncated.
    pub async fn store(&self, record: &Record, verdict: &Verdict) -> Result<(), PublishError> {
        let headers = headers(record, verdict, Utc::now());
        keep(&self.publisher, record, &self.topic, &headers).await?;
        metrics::counter!("consumer_dead_letters_total", "topic" => record.topic.clone(), "class" => verdict.class)
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
            error.class = verdict.class,
            error = verdict.to_tell(),
            "record dead-lettered"
        );
        Ok(())
    }
}

/// Puts a record into a topic of dead letters, whole. One that the topic refuses is put there truncated.
pub(crate) async fn keep(
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
                "dead letter refused, it is truncated"
            );
            let more = [headers, &truncation(record)].concat();
            publisher.forward(&truncated(record), topic, &more).await
        }
        answer => answer,
    }
}

/// What says of a record that it is truncated.
fn truncation(record: &Record) -> Vec<(String, String)> {
    // It says so already.
    if record.header(header::TRUNCATED).is_some() {
        return Vec::new();
    }
    let bytes = record.value.as_ref().map_or(0, Vec::len);
    vec![
        (header::TRUNCATED.to_owned(), bytes.to_string()),
        (header::SHA256.to_owned(), value_digest(record)),
    ]
}

/// The [`header::SHA256`] of a record.
pub fn value_digest(record: &Record) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(record.value.as_deref().unwrap_or_default()) {
        // A string takes everything.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// As much of a record as any topic takes.
fn truncated(record: &Record) -> Record {
    let mut kept = 0;
    let headers = record.headers.iter().filter(|(name, value)| {
        kept += name.len() + value.as_ref().map_or(0, Vec::len);
        // What a record that was redriven says of its first failure is part of a dead letter.
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

fn headers(record: &Record, verdict: &Verdict, now: DateTime<Utc>) -> Vec<(String, String)> {
    let mut message = verdict.message.clone();
    message.truncate(message.floor_char_boundary(MESSAGE_LIMIT));
    let mut headers = vec![
        (header::ORIGINAL_TOPIC, record.topic.clone()),
        (header::ORIGINAL_PARTITION, record.partition.to_string()),
        (header::ORIGINAL_OFFSET, record.offset.to_string()),
        (
            header::ORIGINAL_TIMESTAMP,
            record.timestamp_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        ),
        (header::ERROR_CLASS, verdict.class.to_owned()),
        (header::ERROR_MESSAGE, message),
        (header::FIRST_FAILED_AT, timestamp_text(now)),
        (header::REDRIVE_COUNT, "0".to_owned()),
    ];
    // A record that was redriven already says when it failed first, and how often it came back.
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
        let verdict =
            Verdict { class: "invalid-value", message: "ü".repeat(1000), quotes_record: true };
        let headers = headers(&record(vec![]), &verdict, Utc::now());
        assert_eq!(look_up(&headers, "dlq-error-message").map(str::len), Some(1024));
    }

    #[test]
    fn a_redriven_record_keeps_its_first_failure() {
        let verdict = Verdict { class: "gap", message: String::new(), quotes_record: false };
        let first = headers(&record(vec![]), &verdict, Utc::now());
        assert_eq!(look_up(&first, "dlq-redrive-count"), Some("0"));
        let again = record(vec![
            ("dlq-redrive-count".into(), Some(b"1".to_vec())),
            ("dlq-first-failed-at".into(), Some(b"then".to_vec())),
        ]);
        let second = headers(&again, &verdict, Utc::now());
        assert_eq!(look_up(&second, "dlq-redrive-count"), None);
        assert_eq!(look_up(&second, "dlq-first-failed-at"), None);
    }
}
