//! The checker finds what is wrong in the evidence of a real run, and nothing else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod planted;
mod real_run;
mod schedules;
