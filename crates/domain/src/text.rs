//! Identifiers that come from outside: short, printable, kept as they came.

use std::fmt;

/// Why a text is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing, or too much.
    #[error("must be 1 to {max} characters long")]
    Length {
        /// The largest number of characters.
        max: usize,
    },
    /// A control character, which no log line, header or database should meet.
    #[error("must not contain control characters")]
    Control,
    /// White space at an end, which no person sees when two identifiers are compared.
    #[error("must not begin or end with white space")]
    Padded,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The largest length in characters.
            pub const MAX_CHARS: usize = $max;

            /// The identifier as it came.
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
    /// Whom the order is for, in the seller's own terms.
    CustomerId, 64
}
identifier! {
    /// What is sold, in the seller's own terms (often called SKU).
    ProductId, 64
}
identifier! {
    /// Who placed the order: the subject of the token that came with it.
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

/// The client's own name for one create, unique for its owner: 1 to 255 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdempotencyKey(String);

/// The text is no idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 printable ASCII characters")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// The key as it came, without quotes.
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
    fn an_identifier_is_kept_as_it_came() {
        let id = ProductId::try_from("Füller 0,5 / blau".to_owned()).unwrap();
        assert_eq!(id.as_str(), "Füller 0,5 / blau");
        assert!(ProductId::try_from("ü".repeat(64)).is_ok());
    }

    #[test]
    fn what_a_person_cannot_see_is_refused() {
        let parse = |text: &str| ProductId::try_from(text.to_owned()).unwrap_err();
        assert_eq!(parse(""), TextError::Length { max: 64 });
        assert_eq!(parse(&"x".repeat(65)), TextError::Length { max: 64 });
        assert_eq!(parse("a\0b"), TextError::Control);
        assert_eq!(parse(" a"), TextError::Padded);
        assert_eq!(parse("a "), TextError::Padded);
    }

    #[test]
    fn an_idempotency_key_is_printable_ascii() {
        assert!(IdempotencyKey::try_from("order 17/~".to_owned()).is_ok());
        for refused in ["", "ü", "a\tb", &"x".repeat(256)] {
            assert!(IdempotencyKey::try_from(refused.to_owned()).is_err(), "{refused:?}");
        }
    }
}
