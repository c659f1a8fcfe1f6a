//! Identifiers from clients: short, printable, and stored unchanged.

use std::fmt;

/// Why a text is not an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text is empty or too long.
    #[error("must be 1 to {max} characters long")]
    Length {
        /// Maximum number of characters.
        max: usize,
    },
    /// The text has a control character, which is unsafe in logs, headers and the database.
    #[error("must not contain control characters")]
    Control,
    /// The text has white space at an end, which is invisible when identifiers are compared.
    #[error("must not begin or end with white space")]
    Padded,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// Maximum length in characters.
            pub const MAX_CHARS: usize = $max;

            /// The identifier, unchanged.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextError;

            fn try_from(text: String) -> Result<Self, TextError> {
                check(&text, Self::MAX_CHARS)?;
                Ok(Self(text))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier! {
    /// The seller's id of a customer.
    CustomerId, 64
}
identifier! {
    /// The seller's id of a product (SKU).
    ProductId, 64
}
identifier! {
    /// The shop's own number of an order.
    ExternalReference, 64
}
identifier! {
    /// The name of a value in the metadata of an order.
    MetadataKey, 40
}
identifier! {
    /// Why a client cancels an order, in its own words.
    CancellationReason, 200
}
identifier! {
    /// Why an operator discards dead letters.
    DiscardReason, 200
}
identifier! {
    /// The owner of an order: the subject of the token that it was created with.
    Owner, 255
}

fn check(text: &str, max: usize) -> Result<(), TextError> {
    if text.is_empty() || text.chars().count() > max {
        return Err(TextError::Length { max });
    }
    if text.chars().any(char::is_control) {
        return Err(TextError::Control);
    }
    if text.trim() != text {
        return Err(TextError::Padded);
    }
    Ok(())
}

/// A text in the metadata of an order: up to [`MetadataValue::MAX_CHARS`] characters, stored
/// unchanged. It can be empty, and white space at an end is part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataValue(String);

/// Why a text is not a value of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataValueError {
    /// The text is too long.
    #[error("must be at most 500 characters long")]
    Length,
    /// The text has a control character.
    #[error("must not contain control characters")]
    Control,
}

impl MetadataValue {
    /// Maximum length in characters.
    pub const MAX_CHARS: usize = 500;

    /// The text, unchanged.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MetadataValue {
    type Error = MetadataValueError;

    fn try_from(text: String) -> Result<Self, MetadataValueError> {
        if text.chars().count() > Self::MAX_CHARS {
            return Err(MetadataValueError::Length);
        }
        if text.chars().any(char::is_control) {
            return Err(MetadataValueError::Control);
        }
        Ok(Self(text))
    }
}

/// The client's key for one create, unique per owner: 1 to 255 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// The text is not an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 printable ASCII characters")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// The key, without quotes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = IdempotencyKeyError;

    fn try_from(text: String) -> Result<Self, IdempotencyKeyError> {
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if printable && (1..=255).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(IdempotencyKeyError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_stored_unchanged() {
        let id = ProductId::try_from("Füller 0,5 / blau".to_owned()).unwrap();
        assert_eq!(id.as_str(), "Füller 0,5 / blau");
        assert!(ProductId::try_from("ü".repeat(64)).is_ok());
    }

    #[test]
    fn invalid_identifiers_are_rejected() {
        let parse = |text: &str| ProductId::try_from(text.to_owned()).unwrap_err();
        assert_eq!(parse(""), TextError::Length { max: 64 });
        assert_eq!(parse(&"x".repeat(65)), TextError::Length { max: 64 });
        assert_eq!(parse("a\0b"), TextError::Control);
        assert_eq!(parse(" a"), TextError::Padded);
        assert_eq!(parse("a "), TextError::Padded);
    }

    #[test]
    fn a_value_of_metadata_is_any_text_without_control_characters() {
        let parse = |text: &str| MetadataValue::try_from(text.to_owned());
        for text in ["", " red ", &"ü".repeat(500)] {
            assert_eq!(parse(text).unwrap().as_str(), text);
        }
        assert_eq!(parse(&"x".repeat(501)), Err(MetadataValueError::Length));
        assert_eq!(parse("a\nb"), Err(MetadataValueError::Control));
    }

    #[test]
    fn an_idempotency_key_is_printable_ascii() {
        assert!(IdempotencyKey::try_from("order 17/~".to_owned()).is_ok());
        for refused in ["", "ü", "a\tb", &"x".repeat(256)] {
            assert!(IdempotencyKey::try_from(refused.to_owned()).is_err(), "{refused:?}");
        }
    }
}
