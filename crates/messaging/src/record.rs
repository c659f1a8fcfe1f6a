//! A Kafka record, with its bytes unchanged.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message;
use rdkafka::message::Headers;

/// A record, and where it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The offset in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, by the producer's clock.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value. `None` in a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order. A name can occur more than once.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// Copies a message out of the client's buffer.
    pub fn read(message: &impl Message) -> Self {
        Self {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: read_headers(message),
        }
    }

    /// The size of its key, value and headers, in bytes.
    pub fn bytes(&self) -> usize {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + size(value));
        size(&self.key) + size(&self.value) + headers.sum::<usize>()
    }

    /// The value of a header. If the name occurs more than once, the last header counts.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }
}

/// The client library panics on a header name that is not UTF-8. Kafka's protocol forbids such
/// names, but brokers do not check them. The record is read without headers, so it is not a
/// CloudEvent, and a consumer dead-letters it like any other invalid record.
fn read_headers(message: &impl Message) -> Vec<(String, Option<Vec<u8>>)> {
    let copy = || {
        let headers = message.headers()?.iter();
        Some(headers.map(|it| (it.key.to_owned(), it.value.map(<[u8]>::to_vec))).collect())
    };
    catch_unwind(AssertUnwindSafe(copy)).ok().flatten().unwrap_or_default()
}
