//! Progress bars.

use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on stderr, only on a terminal. stdout is for the result.
pub fn bar(name: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(length).with_style(style).with_prefix(name)
}
