//! Reads a JSON body part by part, so that the response lists all its errors.
//!
//! A number is never converted to a float, and no member with a duplicate name is silently dropped
//! (RFC 8259, section 4, leaves that to the reader). Values are parsed in place, level by level.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use contracts::problem::Fault;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::http::problem::{ApiError, fault};

/// Maximum number of errors in a response. It keeps the response to an invalid body from being
/// larger than the body.
const MAX_ERRORS: usize = 100;

/// A well-formed value, with its pointer (RFC 6901). A value that cannot be read as requested is an
/// error of the body and returns `None`.
#[derive(Debug)]
pub(super) struct Json<'a> {
    value: &'a RawValue,
    pointer: String,
    errors: &'a RefCell<Vec<Fault>>,
}

/// An object, with its members in the order in which they were sent.
#[derive(Debug)]
pub(super) struct Object<'a> {
    members: Members<'a>,
    json: Json<'a>,
}

/// Reads a whole body with `read`. Any error rejects the body, also an unknown field.
pub(super) fn read_json<T>(
    body: &[u8],
    read: impl FnOnce(Json<'_>) -> Option<T>,
) -> Result<T, ApiError> {
    let value =
        serde_json::from_slice(body).map_err(|error| ApiError::MalformedJson(error.to_string()))?;
    let errors = RefCell::default();
    let read = read(Json { value, pointer: String::new(), errors: &errors });
    let errors = errors.into_inner();
    read.filter(|_| errors.is_empty()).ok_or(ApiError::Invalid(errors))
}

impl<'a> Json<'a> {
    /// An object. A field that is not in `known` is an error.
    pub(super) fn object(self, known: &[&str]) -> Option<Object<'a>> {
        let members = serde_json::from_str::<Members<'a>>(self.value.get());
        let members = self.check(members.map_err(|_| "must be an object"))?;
        let mut seen = HashSet::new();
        for (name, _) in &members.0 {
            if !known.contains(&name.as_ref()) {
                let expected = known.join(", ");
                let error = format_args!("is not a known field; expected {expected}");
                self.field(name).add_error(error);
            } else if !seen.insert(name) {
                self.field(name).add_error("appears more than once");
            }
        }
        Some(Object { members, json: self })
    }

    /// The members of an object with any names. A name that appears twice is an error.
    pub(super) fn members(&self) -> Option<Vec<(String, Self)>> {
        let members = serde_json::from_str::<Members<'a>>(self.value.get());
        let members = self.check(members.map_err(|_| "must be an object"))?;
        let mut seen = HashSet::new();
        let members = members.0.into_iter().map(|(name, value)| {
            let member = Self { value, ..self.field(&name) };
            if !seen.insert(name.clone()) {
                member.add_error("appears more than once");
            }
            (name.into_owned(), member)
        });
        Some(members.collect())
    }

    /// The elements of an array.
    pub(super) fn array(&self) -> Option<Vec<Self>> {
        let elements = serde_json::from_str::<Vec<&RawValue>>(self.value.get());
        let elements = self.check(elements.map_err(|_| "must be an array"))?;
        let element = |(index, value)| self.part(value, &index);
        Some(elements.into_iter().enumerate().map(element).collect())
    }

    /// A number, parsed from the digits as they were sent.
    pub(super) fn number<T: FromStr<Err: Display>>(&self) -> Option<T> {
        let digits = self.value.get();
        if !digits.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return self.check(Err("must be a number"));
        }
        self.check(digits.parse())
    }

    /// A string, parsed with `parse`.
    pub(super) fn text<T, E: Display>(
        &self,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let text = serde_json::from_str(self.value.get());
        let text = self.check(text.map_err(|_| "must be a string"))?;
        self.check(parse(text))
    }

    /// The value of a result; its error is an error of this part.
    pub(super) fn check<T, E: Display>(&self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add_error(error)).ok()
    }

    fn add_error(&self, error: impl Display) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < MAX_ERRORS {
            errors.push(fault(&self.pointer, &error));
        }
    }

    fn part(&self, value: &'a RawValue, name: &dyn Display) -> Self {
        Self { value, pointer: format!("{}/{name}", self.pointer), errors: self.errors }
    }

    /// A member, of which only the name matters.
    fn field(&self, name: &str) -> Self {
        self.part(self.value, &name.replace('~', "~0").replace('/', "~1"))
    }
}

impl<'a> Object<'a> {
    /// The first member with this name. It is required.
    pub(super) fn get(&self, name: &str) -> Option<Json<'a>> {
        self.find(name).or_else(|| self.json.field(name).check(Err("is required")))
    }

    /// The first member with this name, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<Json<'a>> {
        let (_, value) = self.members.0.iter().find(|(known, _)| known == name)?;
        Some(self.json.part(value, &name))
    }
}

/// Names and values. A name without escapes is borrowed.
#[derive(Debug)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        from.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value, or the errors with their pointers.
    fn read<T>(body: &str, read: impl FnOnce(Json<'_>) -> Option<T>) -> Result<T, Vec<String>> {
        read_json(body.as_bytes(), read).map_err(|error| match error {
            ApiError::Invalid(errors) => {
                errors.iter().map(|error| format!("{} {}", error.pointer, error.detail)).collect()
            }
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn a_json_number_keeps_its_digits() {
        for digits in ["29.99", "0.10", "-0", "1e1", "123456789012345678901234567890.5"] {
            assert_eq!(read(digits, |json| json.number()), Ok(digits.to_owned()));
        }
        for other in ["\"1\"", "null", "[1]", r#"{"$serde_json::private::Number":"1"}"#] {
            let refused = read(other, |json| json.number::<String>());
            assert_eq!(refused.unwrap_err(), [" must be a number"], "{other}");
        }
    }

    #[test]
    fn a_value_of_another_type_is_an_error() {
        let string = |json: Json<'_>| json.text(Ok::<_, String>);
        assert_eq!(read(r#" "a\u00fc\n" "#, string), Ok("aü\n".to_owned()));
        assert_eq!(read("7", string).unwrap_err(), [" must be a string"]);
        let length = |json: Json<'_>| json.array().map(|elements| elements.len());
        assert_eq!(read("[1, [2]]", length), Ok(2));
        assert_eq!(read("{}", length).unwrap_err(), [" must be an array"]);
        for other in ["[]", "null"] {
            let refused = read(other, |json| json.object(&[]).map(drop));
            assert_eq!(refused.unwrap_err(), [" must be an object"]);
        }
    }

    #[test]
    fn a_duplicate_name_is_an_error_even_if_escaped() {
        let mut first = None;
        let refused = read(r#"{"a":1,"b":2,"\u0061":3}"#, |json| {
            first = json.object(&["a", "b"])?.get("a")?.number::<String>();
            Some(())
        });
        assert_eq!(refused.unwrap_err(), ["/a appears more than once"]);
        assert_eq!(first.as_deref(), Some("1"));
    }

    #[test]
    fn the_members_of_an_object_have_escaped_pointers() {
        let names = |json: Json<'_>| {
            let members = json.members()?;
            let texts = members.iter().map(|(_, value)| value.text(Ok::<_, String>));
            texts.collect::<Vec<_>>().into_iter().collect::<Option<Vec<String>>>()
        };
        assert_eq!(read(r#"{"a/b":"1","c":"2"}"#, names), Ok(vec!["1".to_owned(), "2".to_owned()]));
        let refused = read(r#"{"a/b":1,"c~":"2","c\u007e":"3"}"#, names).unwrap_err();
        assert_eq!(refused, ["/c~0 appears more than once", "/a~1b must be a string"]);
        assert_eq!(read("[]", names).unwrap_err(), [" must be an object"]);
    }

    #[test]
    fn deeply_nested_json_does_not_crash() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let _ = read_json(deep.as_bytes(), |json| json.array().map(drop));
    }
}
