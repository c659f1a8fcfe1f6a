//! The headers of a dead letter, and its original record.

use super::is_dead_letter_topic_of;
use crate::Record;
use crate::dead_letter::header;

/// Headers that are removed when a record is sent back. It keeps the time of its first failure and
/// its redrive count.
const LETTER_ONLY_HEADERS: [&str; 6] = [
    header::ORIGINAL_TOPIC,
    header::ORIGINAL_PARTITION,
    header::ORIGINAL_OFFSET,
    header::ORIGINAL_TIMESTAMP,
    header::ERROR_CLASS,
    header::ERROR_MESSAGE,
];

/// A record of a dead letter topic.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a>(pub &'a Record);

impl<'a> Letter<'a> {
    /// The original topic of the record. `None` for a record that was not dead-lettered by a group:
    /// the header is missing, or does not match the name of the dead letter topic.
    pub fn origin(self) -> Option<&'a str> {
        let topic = self.text(header::ORIGINAL_TOPIC)?;
        is_dead_letter_topic_of(&self.0.topic, topic).then_some(topic)
    }

    /// Whether the dead letter has only the beginning of the original record.
    pub fn is_truncated(self) -> bool {
        self.0.header(header::TRUNCATED).is_some()
    }

    /// The error class.
    pub fn class(self) -> Option<&'a str> {
        self.text(header::ERROR_CLASS)
    }

    /// How often the record was redriven.
    pub fn redrive_count(self) -> u32 {
        self.text(header::REDRIVE_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    /// The record to send back: its own bytes and headers, the time of its first failure, and the
    /// next redrive count.
    pub fn returned(self) -> Record {
        let mut record = self.0.clone();
        record.headers.retain(|(name, _)| {
            name != header::REDRIVE_COUNT && !LETTER_ONLY_HEADERS.contains(&name.as_str())
        });
        let count = self.redrive_count().saturating_add(1).to_string();
        record.headers.push((header::REDRIVE_COUNT.to_owned(), Some(count.into_bytes())));
        record
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.0.header(name).and_then(|value| str::from_utf8(value).ok())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::redrive) fn letter(headers: &[(&str, &str)]) -> Record {
        Record {
            topic: "orders.v1.shipping.dlq".into(),
            partition: 0,
            offset: 7,
            timestamp_ms: None,
            key: Some(b"key".to_vec()),
            value: None,
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())))
                .collect(),
        }
    }

    fn names(record: &Record) -> Vec<String> {
        let text = |value: &Option<Vec<u8>>| String::from_utf8(value.clone().unwrap()).unwrap();
        record.headers.iter().map(|(name, value)| format!("{name}={}", text(value))).collect()
    }

    #[test]
    fn a_redriven_record_keeps_its_headers_and_counts_the_redrive() {
        let record = letter(&[
            ("ce_id", "1"),
            ("dlq-unrelated", "kept"),
            ("dlq-original-topic", "orders.v1"),
            ("dlq-original-partition", "3"),
            ("dlq-original-offset", "17"),
            ("dlq-original-timestamp", "1000"),
            ("dlq-error-class", "gap"),
            ("dlq-error-message", "why"),
            ("dlq-first-failed-at", "then"),
            ("dlq-redrive-count", "1"),
        ]);
        let returned = Letter(&record).returned();
        assert_eq!(
            names(&returned),
            ["ce_id=1", "dlq-unrelated=kept", "dlq-first-failed-at=then", "dlq-redrive-count=2"]
        );
        assert_eq!((returned.key, returned.value), (record.key, record.value));
    }

    #[test]
    fn an_invalid_redrive_count_counts_as_zero() {
        let record = letter(&[("dlq-redrive-count", "many")]);
        assert_eq!(names(&Letter(&record).returned()), ["dlq-redrive-count=1"]);
    }

    #[test]
    fn a_record_is_redriven_only_to_the_topic_of_its_dead_letter_topic() {
        for (topic, origin) in [
            ("orders.v1", Some("orders.v1")),
            ("orders", Some("orders")),
            ("orders.v1.shipping", None),
            ("orders.v1.shipping.dlq", None),
            ("payments.v1", None),
            ("", None),
        ] {
            assert_eq!(Letter(&letter(&[("dlq-original-topic", topic)])).origin(), origin);
        }
        assert_eq!(Letter(&letter(&[])).origin(), None);
    }
}
