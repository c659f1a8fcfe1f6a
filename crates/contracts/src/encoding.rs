//! The JSON encoding of amounts and timestamps, for events and HTTP bodies.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use serde::Serialize;

/// The JSON of an event or of its headers.
///
/// # Panics
///
/// If JSON cannot express the value. It can express any struct of text, numbers and timestamps.
#[expect(clippy::expect_used, reason = "events and their headers are such structs")]
pub fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("an event cannot be encoded")
}

/// Formats a timestamp as RFC 3339 in UTC with milliseconds: `2026-03-01T12:00:00.000Z`.
pub fn timestamp_text(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Parses an RFC 3339 timestamp. Accepts only the years 1 to 9999, because chrono accepts years
/// that the database cannot store.
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    let at = DateTime::parse_from_rfc3339(text).ok()?.to_utc();
    (1..=9999).contains(&at.year()).then_some(at)
}

/// `#[serde(with = "timestamp")]`: a timestamp in the format of [`timestamp_text`].
pub(crate) mod timestamp {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(at: &DateTime<Utc>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::timestamp_text(*at))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<DateTime<Utc>, D::Error> {
        let text = String::deserialize(from)?;
        super::parse_timestamp(&text)
            .ok_or_else(|| de::Error::custom("must be an RFC 3339 timestamp"))
    }
}

/// `#[serde(with = "money")]`: an amount as a JSON number with two decimals, without conversion to
/// a binary float.
pub(crate) mod money {
    use domain::Money;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
    use serde_json::Number;

    pub(crate) fn serialize<S: Serializer>(amount: &Money, to: S) -> Result<S::Ok, S::Error> {
        let number: Number = amount.to_string().parse().map_err(ser::Error::custom)?;
        number.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Money, D::Error> {
        Number::deserialize(from)?.as_str().parse().map_err(de::Error::custom)
    }
}

/// `#[serde(with = "display")]`: a domain value as a string, through `Display` and `FromStr`.
pub(crate) mod display {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<T: Display, S: Serializer>(
        value: &T,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
