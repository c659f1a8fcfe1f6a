//! Order ids and validated order drafts.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{Currency, CustomerId, ExternalReference, Metadata, Money, MoneyError, OrderLine};

/// The permanent id of an order. New ids are version 7 UUIDs (RFC 9562), which sort by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(Uuid);

impl OrderId {
    /// The lowest id.
    pub const MIN: Self = Self(Uuid::nil());
    /// The highest id.
    pub const MAX: Self = Self(Uuid::max());

    /// Generates a new id.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The lowest id for a time in milliseconds since 1970. Ids that were generated earlier sort
    /// below it.
    pub fn least_at(unix_millis: i64) -> Self {
        // The first 48 bits of a version 7 UUID are the time.
        let millis = u128::try_from(unix_millis.clamp(0, (1 << 48) - 1)).unwrap_or_default();
        Self(Uuid::from_u128(millis << 80))
    }

    /// The time at which the id was generated, in milliseconds since 1970.
    pub fn unix_millis(self) -> i64 {
        i64::try_from(self.0.as_u128() >> 80).unwrap_or_default()
    }

    /// The next higher id.
    #[must_use]
    pub const fn successor(self) -> Self {
        Self(Uuid::from_u128(self.0.as_u128().saturating_add(1)))
    }

    /// The id as a plain UUID.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

/// The text is not an order id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a UUID")]
pub struct OrderIdError;

impl From<Uuid> for OrderId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl FromStr for OrderId {
    type Err = OrderIdError;

    fn from_str(text: &str) -> Result<Self, OrderIdError> {
        text.parse().map(Self).map_err(|_| OrderIdError)
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A validated order that is not accepted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderDraft {
    customer_id: CustomerId,
    lines: Vec<OrderLine>,
    total: Money,
    external_reference: Option<ExternalReference>,
    currency: Option<Currency>,
    metadata: Metadata,
}

/// Why lines are not a valid order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// An order has at least one line.
    #[error("must have at least one item")]
    NoLines,
    /// An order has at most [`OrderDraft::MAX_LINES`] lines.
    #[error("must have at most 200 items")]
    TooManyLines,
    /// The sum of the lines is not a valid amount.
    #[error("the total {0}")]
    Total(MoneyError),
}

impl OrderDraft {
    /// Maximum number of lines of one order.
    pub const MAX_LINES: usize = 200;

    /// Validates the lines and computes the total. No other code computes it.
    pub fn new(customer_id: CustomerId, lines: Vec<OrderLine>) -> Result<Self, DraftError> {
        match lines.len() {
            0 => return Err(DraftError::NoLines),
            1..=Self::MAX_LINES => {}
            _ => return Err(DraftError::TooManyLines),
        }
        let total = lines
            .iter()
            .try_fold(Money::ZERO, |sum, line| sum.checked_add(line.amount()?))
            .map_err(DraftError::Total)?;
        Ok(Self {
            customer_id,
            lines,
            total,
            external_reference: None,
            currency: None,
            metadata: Metadata::default(),
        })
    }

    /// With the fields that a client may omit.
    #[must_use]
    pub fn with_options(
        self,
        external_reference: Option<ExternalReference>,
        currency: Option<Currency>,
        metadata: Metadata,
    ) -> Self {
        Self { external_reference, currency, metadata, ..self }
    }

    /// The id of the customer.
    pub fn customer_id(&self) -> &CustomerId {
        &self.customer_id
    }

    /// The lines, in the client's order.
    pub fn lines(&self) -> &[OrderLine] {
        &self.lines
    }

    /// The sum of all lines.
    pub fn total(&self) -> Money {
        self.total
    }

    /// The shop's own number of the order, if the client gave one.
    pub fn external_reference(&self) -> Option<&ExternalReference> {
        self.external_reference.as_ref()
    }

    /// The currency that the client named; `None` if it relies on the default.
    pub fn currency(&self) -> Option<Currency> {
        self.currency
    }

    /// The client's own data.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_sort_by_their_time() {
        let id = OrderId::generate();
        assert!(OrderId::least_at(id.unix_millis()) < id);
        assert!(id < OrderId::least_at(id.unix_millis() + 1));
        assert_eq!(OrderId::least_at(-1), OrderId::least_at(0));
        assert!(id < OrderId::least_at(i64::MAX));
        assert!(id < id.successor());
        assert_eq!(OrderId::MAX.successor(), OrderId::MAX);
    }

    fn line(quantity: i64, price: &str) -> OrderLine {
        OrderLine {
            product_id: "widget".to_owned().try_into().unwrap(),
            quantity: quantity.try_into().unwrap(),
            price: price.parse().unwrap(),
        }
    }

    fn draft(lines: Vec<OrderLine>) -> Result<OrderDraft, DraftError> {
        OrderDraft::new("customer-1".to_owned().try_into().unwrap(), lines)
    }

    #[test]
    fn the_total_is_exact() {
        let order = draft(vec![line(3, "0.10"), line(2, "29.99")]).unwrap();
        assert_eq!(order.total().to_string(), "60.28");
    }

    #[test]
    fn an_order_has_one_to_two_hundred_lines() {
        assert_eq!(draft(vec![]), Err(DraftError::NoLines));
        assert!(draft(vec![line(1, "1"); 200]).is_ok());
        assert_eq!(draft(vec![line(1, "1"); 201]), Err(DraftError::TooManyLines));
    }

    #[test]
    fn a_total_that_does_not_fit_is_refused() {
        let refused = Err(DraftError::Total(MoneyError::TooLarge));
        assert_eq!(draft(vec![line(1_000_000, "9999999999.99")]), refused);
        assert_eq!(draft(vec![line(1, "9999999999.99"), line(1, "0.01")]), refused);
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_pieces_times_price_to_the_cent(
            lines in vec((1_i64..=1000, 0_i64..=99_999), 1..=50)
        ) {
            let cents: i64 = lines.iter().map(|(pieces, cents)| pieces * cents).sum();
            let lines = lines
                .iter()
                .map(|(pieces, cents)| line(*pieces, &format!("{}.{:02}", cents / 100, cents % 100)));
            let total = draft(lines.collect()).unwrap().total();
            prop_assert_eq!(total.to_string(), format!("{}.{:02}", cents / 100, cents % 100));
        }
    }
}
