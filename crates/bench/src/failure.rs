//! Any error that a run can end with.

/// `main` prints it with its causes and ends with code 1.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
