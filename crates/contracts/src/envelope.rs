//! Decodes Kafka records into validated events.

use domain::OrderId;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::cloud_events::{AttributeError, Attributes, major_version};
use crate::event_id::event_id;

/// The value of one or more event types.
pub trait Event: Sized {
    /// Decodes the value of an event of type `event_type`.
    fn decode(event_type: &str, value: &[u8]) -> Result<Self, DecodeError>;

    /// The order that the event is about.
    fn order_id(&self) -> OrderId;
}

/// An event with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<E> {
    /// The attributes, from the headers.
    pub attributes: Attributes,
    /// The event, from the value.
    pub event: E,
}

/// Why a record can never be decoded by this reader.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The record has no value. Such records occur only in compacted topics.
    #[error("the record is a tombstone")]
    Tombstone,
    /// The headers are not a valid CloudEvent.
    #[error("the headers are not a valid CloudEvent")]
    Attributes(#[from] AttributeError),
    /// `ce_id` is not the id of this event. A consumer that removes duplicates by id would take it
    /// for another event.
    #[error("the header ce_id does not match the event; expected {0}")]
    IdMismatch(Uuid),
    /// The type does not belong to the topic.
    #[error("the event type {0:?} is not expected in this topic")]
    UnknownType(String),
    /// The major version is not the one that this reader supports.
    #[error("the schema {0:?} is not supported; expected major version 1")]
    UnsupportedVersion(String),
    /// The value does not match its schema.
    #[error("the value does not match its schema")]
    Value(#[source] serde_json::Error),
    /// Key, subject and value name different orders.
    #[error("key, subject and value name different orders")]
    KeyMismatch,
}

impl DecodeError {
    /// A short, stable name for headers and metrics.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Tombstone => "tombstone",
            Self::Attributes(_) | Self::IdMismatch(_) => "invalid-headers",
            Self::UnknownType(_) => "unknown-type",
            Self::UnsupportedVersion(_) => "unsupported-version",
            Self::Value(_) => "invalid-value",
            Self::KeyMismatch => "key-mismatch",
        }
    }
}

/// Parses a value as JSON.
pub(crate) fn json<T: DeserializeOwned>(value: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(value).map_err(DecodeError::Value)
}

impl<E: Event> Envelope<E> {
    /// Decodes the headers and the value of a record. Checks that key, subject and value name the
    /// same order, and that `ce_id` is the id of this event.
    pub fn decode<'a>(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        header: impl Fn(&str) -> Option<&'a [u8]>,
    ) -> Result<Self, DecodeError> {
        let value = value.ok_or(DecodeError::Tombstone)?;
        let attributes = Attributes::from_headers(header)?;
        if major_version(&attributes.data_schema) != Some(1) {
            return Err(DecodeError::UnsupportedVersion(attributes.data_schema));
        }
        let event = E::decode(&attributes.event_type, value)?;
        let order = event.order_id().as_uuid();
        if attributes.subject != order
            || key.and_then(|key| Uuid::try_parse_ascii(key).ok()) != Some(order)
        {
            return Err(DecodeError::KeyMismatch);
        }
        let id = event_id(event.order_id(), &attributes.event_type);
        if attributes.id != id {
            return Err(DecodeError::IdMismatch(id));
        }
        Ok(Self { attributes, event })
    }
}
