//! One measurement per file. Each returns rows of the table, with their targets.

pub(crate) mod big_tables;
pub(crate) mod consumers;
pub(crate) mod creates;
pub(crate) mod drain;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod machine;
pub(crate) mod whole;
