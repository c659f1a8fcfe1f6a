//! Output as text or as JSON.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use conf::Conf;
use serde::Serialize;

use crate::failure::Failure;

/// The format of the result. Flattened into every command that prints one.
#[derive(Clone, Copy, Conf)]
pub(crate) struct Output {
    /// Prints JSON
    #[conf(long)]
    pub(crate) json: bool,
}

impl Output {
    /// Prints `data` as JSON, or the text.
    pub(crate) fn print(
        self,
        data: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<ExitCode, Failure> {
        line(&if self.json { serde_json::to_string_pretty(data)? } else { text() })
    }
}

/// The items as text, one per line.
pub(crate) fn lines<T>(items: impl IntoIterator<Item = T>, text: impl Fn(T) -> String) -> String {
    items.into_iter().map(text).collect::<Vec<_>>().join("\n")
}

/// A list of dead letters as text.
pub(crate) fn dead_letters<T>(letters: &[T], separator: &str, text: fn(&T) -> String) -> String {
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    letters.iter().map(text).collect::<Vec<_>>().join(separator)
}

/// Prints a line. A broken pipe is not an error: a reader such as `head` may end early.
pub(crate) fn line(text: &str) -> Result<ExitCode, Failure> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
