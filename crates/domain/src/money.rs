//! Exact amounts of money. They are never converted to binary floats, so `29.99` stays `29.99`.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use crate::Quantity;

/// An amount in the currency of its order: zero or more, two decimals, at most [`Money::MAX`].
///
/// Always stored with two decimals, so equal amounts have the same text: `5`, `5.0` and `5.00`
/// become `5.00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money(Decimal);

/// Why a number is not a valid amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a decimal number.
    #[error("must be a decimal number")]
    NotANumber,
    /// The amount is below zero.
    #[error("must not be negative")]
    Negative,
    /// The amount has more than two decimals.
    #[error("must have at most two decimals")]
    TooPrecise,
    /// The amount is above [`Money::MAX`].
    #[error("must be at most 9999999999.99")]
    TooLarge,
}

impl Money {
    /// Zero.
    pub const ZERO: Self = Self(Decimal::from_parts(0, 0, 0, false, Self::SCALE));

    /// 9,999,999,999.99: the largest amount that the column type `numeric(12,2)` holds.
    pub const MAX: Self = Self(Decimal::from_parts(0xD4A5_0FFF, 0xE8, 0, false, Self::SCALE));

    const SCALE: u32 = 2;

    /// The amount as a decimal with two decimals.
    pub const fn amount(self) -> Decimal {
        self.0
    }

    /// The sum, or an error if it exceeds [`Money::MAX`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).ok_or(MoneyError::TooLarge)?.try_into()
    }

    /// The price of `quantity` pieces, or an error if it exceeds [`Money::MAX`].
    pub fn checked_mul(self, quantity: Quantity) -> Result<Self, MoneyError> {
        let pieces = Decimal::from(quantity.get());
        self.0.checked_mul(pieces).ok_or(MoneyError::TooLarge)?.try_into()
    }
}

impl TryFrom<Decimal> for Money {
    type Error = MoneyError;

    fn try_from(value: Decimal) -> Result<Self, MoneyError> {
        let mut amount = value.normalize();
        if amount.is_sign_negative() && !amount.is_zero() {
            return Err(MoneyError::Negative);
        }
        if amount.scale() > Self::SCALE {
            return Err(MoneyError::TooPrecise);
        }
        if amount > Self::MAX.0 {
            return Err(MoneyError::TooLarge);
        }
        amount.set_sign_positive(true);
        amount.rescale(Self::SCALE);
        Ok(Self(amount))
    }
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Parses a JSON number (RFC 8259, section 6) exactly, including an exponent: `1e1` is `10.00`.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        exact_decimal(text)?.try_into()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Parses a JSON number without loss of precision.
pub(crate) fn exact_decimal(text: &str) -> Result<Decimal, MoneyError> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i64>().map_err(|_| MoneyError::NotANumber)?)
        }
        None => (text, 0),
    };
    let digits = mantissa.strip_prefix('-').unwrap_or(mantissa).as_bytes();
    let is_digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_digit);
    let only_digits_and_point = digits.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
    if !(only_digits_and_point && is_digit(digits.first()) && is_digit(digits.last())) {
        return Err(MoneyError::NotANumber);
    }
    // More digits than `Decimal` supports: too large if they are before the point, otherwise too
    // precise.
    let mut value =
        Decimal::from_str_exact(mantissa).map_err(|_| match mantissa.split_once('.') {
            Some((whole, _)) if whole.len() <= 20 => MoneyError::TooPrecise,
            _ => MoneyError::TooLarge,
        })?;
    if value.is_zero() {
        return Ok(Decimal::ZERO);
    }
    value = value.normalize();
    let scale = i64::from(value.scale()).saturating_sub(exponent);
    if let Ok(scale) = u32::try_from(scale) {
        value.set_scale(scale).map_err(|_| MoneyError::TooPrecise)?;
        return Ok(value);
    }
    let zeros = u32::try_from(-scale).map_err(|_| MoneyError::TooLarge)?;
    value.set_scale(0).map_err(|_| MoneyError::TooLarge)?;
    let factor = 10_i64.checked_pow(zeros).ok_or(MoneyError::TooLarge)?;
    value.checked_mul(Decimal::from(factor)).ok_or(MoneyError::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(text: &str) -> Result<String, MoneyError> {
        text.parse::<Money>().map(|money| money.to_string())
    }

    #[test]
    fn json_numbers_are_read_exactly() {
        for (text, amount) in [
            ("29.99", "29.99"),
            ("0.10", "0.10"),
            ("1e1", "10.00"),
            ("1.5E+2", "150.00"),
            ("1250e-2", "12.50"),
            ("59.980", "59.98"),
            ("-0", "0.00"),
            ("0e999999999", "0.00"),
            ("9999999999.99", "9999999999.99"),
        ] {
            assert_eq!(printed(text).as_deref(), Ok(amount), "{text}");
        }
    }

    #[test]
    fn invalid_amounts_are_rejected_with_a_reason() {
        for (text, reason) in [
            ("-0.01", MoneyError::Negative),
            ("0.001", MoneyError::TooPrecise),
            ("1e-3", MoneyError::TooPrecise),
            ("0.12345678901234567890123456789012345", MoneyError::TooPrecise),
            ("10000000000", MoneyError::TooLarge),
            ("12345678901234567890", MoneyError::TooLarge),
            ("1e400", MoneyError::TooLarge),
            ("1e99999999999999999999", MoneyError::NotANumber),
            ("99999999999999999999999999999999999", MoneyError::TooLarge),
            ("", MoneyError::NotANumber),
            ("1_000", MoneyError::NotANumber),
            ("NaN", MoneyError::NotANumber),
            (".5", MoneyError::NotANumber),
        ] {
            assert_eq!(printed(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn the_maximum_amount_fits_the_column() {
        assert_eq!(Money::MAX.to_string(), "9999999999.99");
        assert_eq!(Money::MAX.checked_add("0.01".parse().unwrap()), Err(MoneyError::TooLarge));
    }

    proptest! {
        #[test]
        fn every_number_of_cents_survives_text(cents in 0_i64..=999_999_999_999) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(printed(&text), Ok(text));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+0-9.eE_]{0,40}") {
            let _ = text.parse::<Money>();
        }
    }
}
