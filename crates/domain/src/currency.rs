//! The currency of an order's amounts.

use std::fmt;
use std::str::{self, FromStr};

/// The code of a currency (ISO 4217): three capital letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// The text is not the code of a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be three capital letters, as in ISO 4217")]
pub struct CurrencyError;

impl Currency {
    /// The euro: the currency of orders that were stored before orders had one.
    pub const EUR: Self = Self(*b"EUR");

    /// The code.
    pub fn as_str(&self) -> &str {
        // A code consists of ASCII letters.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = CurrencyError;

    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| CurrencyError)?;
        if code.iter().all(u8::is_ascii_uppercase) { Ok(Self(code)) } else { Err(CurrencyError) }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!("EUR".parse(), Ok(Currency::EUR));
        assert_eq!("USD".parse::<Currency>().unwrap().to_string(), "USD");
        for refused in ["", "eur", "EU", "EURO", "E R", "€", "ÄÖ", "12A"] {
            assert_eq!(refused.parse::<Currency>(), Err(CurrencyError), "{refused}");
        }
    }
}
