//! The contracts of the topics: each version of each event type, with its schema and an example
//! record.
//!
//! The files are generated from the code and committed, so a code change that affects consumers
//! shows as a changed file. A version that is listed in `released.sha256` never changes again; each
//! change becomes a new version.

pub mod async_api;
#[cfg(test)]
mod async_api_document;
#[cfg(test)]
mod committed;
#[cfg(test)]
mod compatibility;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod value_schemas;

use crate::cloud_events::{data_schema, major_version};
use crate::topics::{DEAD_LETTERS, DELIVERY_EVENTS, ORDER_EVENTS};

/// One version of an event type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The value of `ce_type`.
    pub event_type: &'static str,
    /// Major and minor version, such as `1.0`.
    pub version: &'static str,
    /// The topic's default name.
    pub topic: &'static str,
    /// The JSON Schema of the value (draft 2020-12).
    pub schema: &'static str,
    /// An example record.
    pub example: Example,
}

/// A record, byte for byte. Its key is the event's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// The value.
    pub value: &'static str,
    /// The headers in their order, one `name=value` per line.
    pub headers: &'static str,
}

impl Contract {
    /// The value of `ce_dataschema`, which is also the `$id` of the schema.
    pub fn data_schema(&self) -> String {
        data_schema(self.event_type, self.version)
    }

    /// Whether both have the same type and major version, so that a reader of one can read records
    /// of the other.
    pub fn has_same_major(&self, other: &Self) -> bool {
        let major = |contract: &Self| major_version(&contract.data_schema());
        self.event_type == other.event_type && major(self) == major(other)
    }
}

impl Example {
    /// The headers in their order.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        self.headers.lines().filter_map(|line| line.split_once('='))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&'static str> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

macro_rules! contract {
    ($event_type:literal, $version:literal, $topic:expr) => {
        Contract {
            event_type: $event_type,
            version: $version,
            topic: $topic,
            schema: include_str!(concat!("../../schemas/", $event_type, "/", $version, ".json")),
            example: Example {
                value: include_str!(concat!("../../golden/", $event_type, "-", $version, ".json")),
                headers: include_str!(concat!(
                    "../../golden/",
                    $event_type,
                    "-",
                    $version,
                    ".headers"
                )),
            },
        }
    };
}

/// Every version of every type. Types are in the order in which they occur for an order, versions
/// from oldest to newest.
pub const CONTRACTS: &[Contract] = &[
    contract!("order.created", "1.0", ORDER_EVENTS),
    contract!("order.created", "1.1", ORDER_EVENTS),
    contract!("order.cancellation-requested", "1.0", ORDER_EVENTS),
    contract!("order.shipped", "1.0", DELIVERY_EVENTS),
    contract!("order.delivered", "1.0", DELIVERY_EVENTS),
    contract!("order.cancelled", "1.0", DELIVERY_EVENTS),
    contract!("order.cancellation-refused", "1.0", DELIVERY_EVENTS),
    contract!("outbox.dead-lettered", "1.0", DEAD_LETTERS),
];

/// The requested contract does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownContract {
    /// No event has this type.
    #[error("unknown event type {0:?}")]
    Type(String),
    /// The type never had this version.
    #[error("{event_type} has no version {version:?}")]
    Version {
        /// The type.
        event_type: String,
        /// The requested version.
        version: String,
    },
}

/// The contract of an event type: the requested version, or the newest one.
pub fn find(event_type: &str, version: Option<&str>) -> Result<&'static Contract, UnknownContract> {
    let mut versions = CONTRACTS.iter().filter(|it| it.event_type == event_type).peekable();
    if versions.peek().is_none() {
        return Err(UnknownContract::Type(event_type.to_owned()));
    }
    match version {
        None => versions.next_back(),
        Some(version) => versions.find(|it| it.version == version),
    }
    .ok_or_else(|| UnknownContract::Version {
        event_type: event_type.to_owned(),
        version: version.unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contract_is_found_in_its_newest_version_by_default() {
        let found = |version| find("order.created", version).map(Contract::data_schema);
        assert_eq!(found(None).as_deref(), Ok("urn:sales:order.created:1.1"));
        assert_eq!(found(Some("1.0")).as_deref(), Ok("urn:sales:order.created:1.0"));
    }

    #[test]
    fn errors_name_the_unknown_type_or_version() {
        let no_type = find("order.eaten", None).unwrap_err();
        assert_eq!(no_type.to_string(), r#"unknown event type "order.eaten""#);
        let no_version = find("order.created", Some("0.9")).unwrap_err();
        assert_eq!(no_version.to_string(), r#"order.created has no version "0.9""#);
    }
}
