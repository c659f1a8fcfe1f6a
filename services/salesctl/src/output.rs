//! One answer, for people or for programs.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Prints `data` as JSON when it is asked for, and otherwise what `text` makes of it.
pub(crate) fn print<T: Serialize>(
    json: bool,
    data: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = if json { serde_json::to_string_pretty(data)? } else { text(data) };
    line(&text)
}

/// Prints a line. A reader that has seen enough, such as `head`, is no failure.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
