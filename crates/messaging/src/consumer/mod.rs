//! Consuming: a handler says what a batch means; everything else is around it.
//!
//! The runner decodes, retries what can pass, puts aside what can't, and stores offsets only after the effect. So a
//! record is handled at least once, in order within its partition, and a handler has to be idempotent.

mod client;
mod handler;
mod rebalance;
mod runner;

pub use handler::{Handler, HandlerError};
pub use runner::{ConsumerError, Runner, RunnerOptions};
