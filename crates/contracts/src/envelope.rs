//! From the bytes of a Kafka record to an event that can be trusted, or to the reason why not.

use domain::OrderId;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::cloud_events::{AttributeError, Attributes, major_version};
use crate::event_id::event_id;

/// The value of one or more event types.
pub trait Event: Sized {
    /// Reads the value of an event of type `event_type`.
    fn decode(event_type: &str, value: &[u8]) -> Result<Self, DecodeError>;

    /// The order that the event is about.
    fn order_id(&self) -> OrderId;
}

/// An event with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope<E> {
    /// What is said about it.
    pub attributes: Attributes,
    /// What happened.
    pub event: E,
}

/// Why a record can never be understood by this reader.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A record without a value, which only compacted topics have.
    #[error("the record is a tombstone")]
    Tombstone,
    /// The headers are no CloudEvent.
    #[error("the headers are no CloudEvent")]
    Attributes(#[from] AttributeError),
    /// An id that another event of the order has, or none: a consumer would take this event for that one.
    #[error("the id is not that of this event, {0}")]
    IdMismatch(Uuid),
    /// A type that does not belong into the topic.
    #[error("the type {0:?} is unknown here")]
    UnknownType(String),
    /// A version that breaks with what this reader knows.
    #[error("the schema {0:?} is not of major version 1")]
    UnsupportedVersion(String),
    /// The value is not what its schema says.
    #[error("the value breaks its schema")]
    Value(#[source] serde_json::Error),
    /// Key, subject and value do not name the same order.
    #[error("key, subject and value name different orders")]
    KeyMismatch,
}

impl DecodeError {
    /// A short name for headers and metrics; it never changes.
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

/// Reads a value as JSON.
pub(crate) fn json<T: DeserializeOwned>(value: &[u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(value).map_err(DecodeError::Value)
}

impl<E: Event> Envelope<E> {
    /// Reads a record whole: its headers, its value, that its key names the same order, and that its id is the one of this
    /// event.
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
