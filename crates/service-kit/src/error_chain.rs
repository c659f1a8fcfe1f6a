//! An error with its causes on one line.

use std::error::Error;
use std::fmt;

/// Prints an error and its sources: `the order cannot be read: connection closed`.
///
/// Errors here never repeat their source in their own text, so the chain is complete and says nothing twice.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
