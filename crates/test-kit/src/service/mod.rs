//! Services that run in the test or as processes.

pub(crate) mod management;
pub(crate) mod process;
pub(crate) mod running;
