//! The speed of the parts that the system is built on, measured without it.

pub(crate) mod bare_producer;
pub(crate) mod pgbench;
