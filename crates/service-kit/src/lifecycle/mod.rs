//! From the start of a service to its end.

pub mod close_connections;
pub mod service;
pub mod shutdown;
pub mod tasks;
