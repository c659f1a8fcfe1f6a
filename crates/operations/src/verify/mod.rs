//! Checks the invariants of a running system.
//!
//! A test checks only the orders that it has created. [`Sources::verify`] checks the orders that are
//! in the system now, and names each order that violates an invariant.

mod databases;
mod dead_letters;
pub(crate) mod findings;
pub(crate) mod judge;
pub(crate) mod ledger;
mod long;
mod report;
mod run;
mod scope;
mod topics;

pub use findings::{Case, Cases};
pub use long::Verification;
pub use report::Report;
pub use run::{Progress, Sources};
pub use scope::Selection;
