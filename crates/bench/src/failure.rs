//! The error of a run.

/// `main` prints it with its causes and exits with code 1.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
