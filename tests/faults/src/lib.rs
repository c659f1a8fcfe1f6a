#![doc = include_str!("../README.md")]
// An error of the suite itself ends the run of the row, so this crate panics where the others return
// errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

pub mod check;
pub mod evidence;
pub mod fault;
pub mod journal;
pub mod load;
pub mod report;
pub mod rows;
pub mod run;
pub mod system;
