//! The currencies of orders.

use std::fmt;

use domain::Currency;

/// The accepted currencies. The first one is that of an order whose request names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Currencies {
    default: Currency,
    others: Vec<Currency>,
}

/// The currency of a request is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be one of: {0}")]
pub(crate) struct UnknownCurrency(Currencies);

impl Currencies {
    /// Reads a list such as `EUR,USD`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let codes = text.split(',').map(|code| {
            let code = code.trim();
            code.parse().map_err(|error| format!("{code:?} {error}"))
        });
        let mut codes = codes.collect::<Result<Vec<Currency>, String>>()?.into_iter();
        let default = codes.next().ok_or("must have at least one currency")?;
        Ok(Self { default, others: codes.collect() })
    }

    /// The currency of an order whose request names none.
    pub(crate) const fn default(&self) -> Currency {
        self.default
    }

    /// Whether the currency that a request names, if any, is one of these.
    pub(crate) fn check(&self, named: Option<Currency>) -> Result<(), UnknownCurrency> {
        match named {
            Some(currency) if currency != self.default && !self.others.contains(&currency) => {
                Err(UnknownCurrency(self.clone()))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Currencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.default)?;
        self.others.iter().try_for_each(|currency| write!(f, ", {currency}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_currency_of_the_list_is_the_default() {
        let currencies = Currencies::parse("USD, EUR").unwrap();
        assert_eq!(currencies.default().as_str(), "USD");
        for accepted in [None, Some("USD"), Some("EUR")] {
            assert_eq!(currencies.check(accepted.map(|code| code.parse().unwrap())), Ok(()));
        }
        let error = currencies.check("CHF".parse().ok()).unwrap_err();
        assert_eq!(error.to_string(), "must be one of: USD, EUR");
    }

    #[test]
    fn a_list_with_an_invalid_code_is_refused() {
        for (text, code) in [("EUR,euro", "euro"), ("", ""), ("EUR,", ""), ("EUR USD", "EUR USD")] {
            let error = Currencies::parse(text).unwrap_err();
            assert_eq!(error, format!("{code:?} must be three capital letters, as in ISO 4217"));
        }
    }
}
