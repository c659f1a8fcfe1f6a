//! status-consumer: applies delivery events to the status of orders, each event once.

mod application;
mod apply;
mod config;
mod reap;

pub use application::build;
pub use config::Config;
pub use reap::Reaper;
