//! A record of a topic, byte for byte.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rdkafka::Message;
use rdkafka::message::Headers;

/// A record as it was read, with where it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The place in the partition.
    pub offset: i64,
    /// Milliseconds since 1970, by the producer's clock.
    pub timestamp_ms: Option<i64>,
    /// The key.
    pub key: Option<Vec<u8>>,
    /// The value; none in a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in order; a name can occur more than once.
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

    /// The bytes of its key, value and headers.
    pub fn bytes(&self) -> usize {
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + size(value));
        size(&self.key) + size(&self.value) + headers.sum::<usize>()
    }

    /// The value of a header; of the last one, where the name occurs more than once.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rev().find(|(n, _)| n == name).and_then(|(_, value)| value.as_deref())
    }
}

/// The client panics at a header whose name is no UTF-8, which Kafka's protocol forbids but no broker checks. Such a
/// record has no headers here, so it is no CloudEvent, and is put aside like any other that is none.
fn read_headers(message: &impl Message) -> Vec<(String, Option<Vec<u8>>)> {
    let copy = || {
        let headers = message.headers()?.iter();
        Some(headers.map(|it| (it.key.to_owned(), it.value.map(<[u8]>::to_vec))).collect())
    };
    catch_unwind(AssertUnwindSafe(copy)).ok().flatten().unwrap_or_default()
}
