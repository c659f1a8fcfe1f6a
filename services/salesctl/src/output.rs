//! Output as text or as JSON.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Prints `data` as JSON if `json` is set, otherwise as formatted by `text`.
pub(crate) fn print<T: Serialize>(
    json: bool,
    data: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = if json { serde_json::to_string_pretty(data)? } else { text(data) };
    line(&text)
}

/// Prints a line. A broken pipe is not an error: a reader such as `head` may end early.
pub(crate) fn line(text: &str) -> Result<(), Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
