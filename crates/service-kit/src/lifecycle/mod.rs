//! From the start of a service to its end.

pub mod command;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod tasks;
