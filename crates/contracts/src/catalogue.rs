//! What a consumer of the topics may rely on: each version of each event type, with its schema and one record of it.
//!
//! The files are made from the code and committed, so that a change of the code that others would notice is a change
//! of a file. A version that is listed in `released.sha256` never changes again; what is new becomes a new version.

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
    /// What `ce_type` carries.
    pub event_type: &'static str,
    /// Major and minor version, as `1.0`.
    pub version: &'static str,
    /// The topic, under its usual name.
    pub topic: &'static str,
    /// The JSON Schema of the value (draft 2020-12).
    pub schema: &'static str,
    /// A record as it is on the wire.
    pub example: Example,
}

/// A record, byte for byte. Its key is the subject of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// The value.
    pub value: &'static str,
    /// The headers in their order, as lines of `name=value`.
    pub headers: &'static str,
}

impl Contract {
    /// What `ce_dataschema` carries, and the `$id` of the schema.
    pub fn data_schema(&self) -> String {
        data_schema(self.event_type, self.version)
    }

    /// Whether a reader who knows one of the two can read records of the other: same type, same major version.
    pub fn is_alternative_to(&self, other: &Self) -> bool {
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
            schema: include_str!(concat!("../schemas/", $event_type, "/", $version, ".json")),
            example: Example {
                value: include_str!(concat!("../golden/", $event_type, "-", $version, ".json")),
                headers: include_str!(concat!(
                    "../golden/",
                    $event_type,
                    "-",
                    $version,
                    ".headers"
                )),
            },
        }
    };
}

/// Every version of every type, in the order of an order's life; of one type, the oldest version first.
pub const CONTRACTS: &[Contract] = &[
    contract!("order.created", "1.0", ORDER_EVENTS),
    contract!("order.shipped", "1.0", DELIVERY_EVENTS),
    contract!("order.delivered", "1.0", DELIVERY_EVENTS),
    contract!("outbox.dead-lettered", "1.0", DEAD_LETTERS),
];

/// There is no such contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoContract {
    /// No event has this type.
    #[error("there is no event type {0:?}")]
    Type(String),
    /// The type never had this version.
    #[error("{event_type} has no version {version:?}")]
    Version {
        /// The type.
        event_type: String,
        /// The version that was asked for.
        version: String,
    },
}

/// A version of an event type; the newest one when none is asked for.
pub fn find(event_type: &str, version: Option<&str>) -> Result<&'static Contract, NoContract> {
    find_in(CONTRACTS, event_type, version)
}

fn find_in<'c>(
    contracts: &'c [Contract],
    event_type: &str,
    version: Option<&str>,
) -> Result<&'c Contract, NoContract> {
    let mut versions = contracts.iter().filter(|it| it.event_type == event_type).peekable();
    if versions.peek().is_none() {
        return Err(NoContract::Type(event_type.to_owned()));
    }
    match version {
        None => versions.next_back(),
        Some(version) => versions.find(|it| it.version == version),
    }
    .ok_or_else(|| NoContract::Version {
        event_type: event_type.to_owned(),
        version: version.unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_found_unless_another_is_asked_for() {
        let [old, other, ..] = CONTRACTS else { panic!("two types at least") };
        let contracts = [*old, Contract { version: "1.1", ..*old }, *other];
        let found =
            |version| find_in(&contracts, old.event_type, version).map(Contract::data_schema);
        assert_eq!(found(None).as_deref(), Ok("urn:sales:order.created:1.1"));
        assert_eq!(found(Some("1.0")).as_deref(), Ok("urn:sales:order.created:1.0"));
    }

    #[test]
    fn what_there_is_not_is_named() {
        let no_type = find("order.eaten", None).unwrap_err();
        assert_eq!(no_type.to_string(), r#"there is no event type "order.eaten""#);
        let no_version = find("order.created", Some("0.9")).unwrap_err();
        assert_eq!(no_version.to_string(), r#"order.created has no version "0.9""#);
    }
}
