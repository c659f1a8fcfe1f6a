//! Reads a JSON body field by field.

use std::collections::HashSet;
use std::fmt::Display;
use std::str::FromStr;

use contracts::problem::Fault;

use crate::http::extract::json::{Json, Object};
use crate::http::problem::ApiError;

/// Maximum number of errors in a response.
const MAX_ERRORS: usize = 100;

/// Reads a body to its end, so that the response lists all its errors.
#[derive(Default)]
pub(super) struct BodyReader {
    errors: Vec<Fault>,
}

impl BodyReader {
    /// Reads a whole body with `read`. Any error rejects the body, also an unknown field.
    pub(super) fn read<T>(
        body: &[u8],
        read: impl FnOnce(&mut Self, Json<'_>) -> Option<T>,
    ) -> Result<T, ApiError> {
        let json = Json::parse(body).map_err(|error| ApiError::MalformedJson(error.to_string()))?;
        let mut reader = Self::default();
        let value = read(&mut reader, json);
        value.filter(|_| reader.errors.is_empty()).ok_or(ApiError::Invalid(reader.errors))
    }

    pub(super) fn object<'j>(
        &mut self,
        at: &str,
        json: Json<'j>,
        known: &[&str],
    ) -> Option<Object<'j>> {
        let object = self.check(at, json.object().ok_or("must be an object"))?;
        let mut seen = HashSet::new();
        for name in object.names() {
            // RFC 6901 escapes `~` and `/`.
            let pointer = || format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            if !known.contains(&name) {
                let expected = known.join(", ");
                self.add(&pointer(), &format_args!("is not a known field; expected {expected}"));
            } else if !seen.insert(name) {
                self.add(&pointer(), &"appears more than once");
            }
        }
        Some(object)
    }

    pub(super) fn field<'j>(
        &mut self,
        at: &str,
        object: &Object<'j>,
        name: &str,
    ) -> Option<Json<'j>> {
        self.check(&format!("{at}/{name}"), object.get(name).ok_or("is required"))
    }

    pub(super) fn number<T: FromStr<Err: Display>>(
        &mut self,
        at: &str,
        object: &Object<'_>,
        name: &str,
    ) -> Option<T> {
        let value = self.field(at, object, name)?.number();
        let pointer = format!("{at}/{name}");
        let digits = self.check(&pointer, value.ok_or("must be a number"))?;
        self.check(&pointer, digits.parse())
    }

    pub(super) fn text<T, E: Display>(
        &mut self,
        at: &str,
        object: &Object<'_>,
        name: &str,
        parse: impl FnOnce(String) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.field(at, object, name)?.string();
        let pointer = format!("{at}/{name}");
        let text = self.check(&pointer, value.ok_or("must be a string"))?;
        self.check(&pointer, parse(text))
    }

    pub(super) fn check<T, E: Display>(&mut self, pointer: &str, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(pointer, &error)).ok()
    }

    /// Adds an error. The maximum keeps the response to an invalid body from being larger than the
    /// body.
    fn add(&mut self, pointer: &str, error: &impl Display) {
        if self.errors.len() == MAX_ERRORS {
            return;
        }
        self.errors.push(Fault { pointer: pointer.to_owned(), detail: error.to_string() });
    }
}
