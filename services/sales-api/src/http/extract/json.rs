//! JSON as it was sent: numbers keep their digits, and duplicate names are kept.
//!
//! A number is never converted to a float, and no member with a duplicate name is silently dropped
//! (RFC 8259, section 4, leaves that to the reader). Values are parsed in place, level by level.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A well-formed value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a>(&'a RawValue);

/// The members of an object, in the order in which they were sent.
#[derive(Debug)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Json<'a> {
    /// Parses a text that contains exactly one value.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text).map(Self)
    }

    /// The digits of a number, as they were sent.
    pub(crate) fn number(self) -> Option<&'a str> {
        self.0
            .get()
            .starts_with(|first: char| first == '-' || first.is_ascii_digit())
            .then(|| self.0.get())
    }

    /// The text of a string.
    pub(crate) fn string(self) -> Option<String> {
        serde_json::from_str(self.0.get()).ok()
    }

    /// The elements of an array.
    pub(crate) fn array(self) -> Option<Vec<Self>> {
        let elements: Vec<&RawValue> = serde_json::from_str(self.0.get()).ok()?;
        Some(elements.into_iter().map(Self).collect())
    }

    /// The members of an object.
    pub(crate) fn object(self) -> Option<Object<'a>> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl<'a> Object<'a> {
    /// The value of the first member with this name.
    pub(crate) fn get(&self, name: &str) -> Option<Json<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// All names, including duplicates.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_ref())
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<_, &RawValue>()? {
                    members.push((name, Json(value)));
                }
                Ok(Object(members))
            }
        }

        from.deserialize_map(Members)
    }
}

/// A name without escapes is borrowed.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Json<'_> {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_number_keeps_its_digits() {
        for digits in ["29.99", "0.10", "-0", "1e1", "123456789012345678901234567890.5"] {
            assert_eq!(parse(digits).number(), Some(digits));
        }
        for other in ["\"1\"", "null", "[1]", r#"{"$serde_json::private::Number":"1"}"#] {
            assert_eq!(parse(other).number(), None, "{other}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_none() {
        assert_eq!(parse(r#" "a\u00fc\n" "#).string().as_deref(), Some("aü\n"));
        assert!(parse("7").string().is_none() && parse("{}").array().is_none());
        assert!(parse("[]").object().is_none() && parse("null").object().is_none());
        assert_eq!(parse("[1, [2]]").array().unwrap().len(), 2);
    }

    #[test]
    fn duplicate_names_are_kept_even_if_escaped() {
        let object = parse(r#"{"a":1,"b":2,"\u0061":3}"#).object().unwrap();
        assert_eq!(object.names().collect::<Vec<_>>(), ["a", "b", "a"]);
        assert_eq!(object.get("a").unwrap().number(), Some("1"));
    }

    #[test]
    fn deep_nesting_does_not_crash() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let _ = Json::parse(deep.as_bytes());
    }
}
