//! One measurement per file. Each returns rows of the table with their targets, the processor time
//! of each process, and latencies. `backlog`, `closed_loop` and
//! `stage` are parts of them.

mod backlog;
pub(crate) mod big_tables;
mod closed_loop;
pub(crate) mod consumers;
pub(crate) mod creates;
pub(crate) mod drain;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod machine;
pub(crate) mod open_transaction;
mod stage;
pub(crate) mod whole;
