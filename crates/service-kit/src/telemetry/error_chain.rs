//! An error with its causes on one line.

use std::error::Error;
use std::fmt;

/// Prints an error and its sources: `the order cannot be read: connection closed`.
///
/// Our own errors do not repeat their sources. Errors of libraries may, so repeated texts are
/// skipped.
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut chain = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !chain.contains(&text) {
                chain.push_str(": ");
                chain.push_str(&text);
            }
            cause = error.source();
        }
        f.write_str(&chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Option<Box<Layer>> {
        let (text, rest) = texts.split_first()?;
        Some(Box::new(Layer { text, source: layers(rest) }))
    }

    #[test]
    fn every_cause_is_printed_once() {
        for (texts, chain) in [
            (&["no order", "no connection"][..], "no order: no connection"),
            (&["fetch: timed out", "timed out"], "fetch: timed out"),
            (&["late", "pool: refused (111)", "refused (111)"], "late: pool: refused (111)"),
            (
                &["tls: bad certificate: its host", "bad certificate"],
                "tls: bad certificate: its host",
            ),
            (&["one"], "one"),
        ] {
            assert_eq!(Chain(&*layers(texts).unwrap()).to_string(), chain);
        }
    }
}
