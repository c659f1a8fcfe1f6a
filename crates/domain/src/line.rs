//! One line of an order: a product, its quantity and its price.

use std::str::FromStr;

use rust_decimal::prelude::ToPrimitive;

use crate::money::exact_decimal;
use crate::{Money, MoneyError, ProductId};

/// A number of pieces, 1 to [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i32);

/// The number is outside 1 to [`Quantity::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a whole number from 1 to 1000000")]
pub struct QuantityError;

impl Quantity {
    /// Maximum number of pieces per line.
    pub const MAX: i32 = 1_000_000;

    /// The number of pieces.
    pub const fn get(self) -> i32 {
        self.0
    }
}

impl TryFrom<i64> for Quantity {
    type Error = QuantityError;

    fn try_from(pieces: i64) -> Result<Self, QuantityError> {
        match i32::try_from(pieces) {
            Ok(pieces @ 1..=Self::MAX) => Ok(Self(pieces)),
            _ => Err(QuantityError),
        }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    /// Parses a JSON number (RFC 8259, section 6). Accepts `3.0` and `30e-1` as 3, because JSON has
    /// only one number type.
    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let pieces = exact_decimal(text).map_err(|_| QuantityError)?.normalize();
        if pieces.scale() > 0 {
            return Err(QuantityError);
        }
        pieces.to_i64().ok_or(QuantityError)?.try_into()
    }
}

/// A product with its quantity and its price per piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderLine {
    /// The id of the product.
    pub product_id: ProductId,
    /// Number of pieces.
    pub quantity: Quantity,
    /// The price of one piece.
    pub price: Money,
}

impl OrderLine {
    /// Quantity times price.
    pub fn amount(&self) -> Result<Money, MoneyError> {
        self.price.checked_mul(self.quantity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_from_one_to_a_million() {
        assert_eq!(Quantity::try_from(1).map(Quantity::get), Ok(1));
        assert_eq!(Quantity::try_from(1_000_000).map(Quantity::get), Ok(1_000_000));
        for refused in [0, -1, 1_000_001, i64::MAX, i64::MIN] {
            assert_eq!(Quantity::try_from(refused), Err(QuantityError), "{refused}");
        }
    }

    #[test]
    fn a_quantity_is_read_from_any_spelling_of_a_whole_number() {
        for text in ["3", "3.0", "30e-1", "0.3E1"] {
            assert_eq!(text.parse().map(Quantity::get), Ok(3), "{text}");
        }
        for refused in ["1.5", "1e7", "-1", "0", "1e400", "99999999999999999999", "", "x"] {
            assert_eq!(refused.parse::<Quantity>(), Err(QuantityError), "{refused}");
        }
    }
}
