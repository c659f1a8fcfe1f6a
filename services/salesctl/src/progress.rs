//! How far a command has come.

use indicatif::{ProgressBar, ProgressStyle};

/// Progress goes to stderr, and only to a terminal: stdout is for the answer.
pub(crate) fn bar(name: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style).with_prefix(name)
}
