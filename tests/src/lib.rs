#![doc = include_str!("../README.md")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod command;
mod system;

use std::path::{Path, PathBuf};

pub use command::{Outcome, RunningCommand, answer, answer_of, bench, run, salesctl};
pub use system::{System, stop_all};

/// The path of a file of the repository.
pub fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}
