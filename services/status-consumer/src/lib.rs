//! status-consumer: applies what delivery reports to the orders, each event once.

mod application;
mod apply;
mod config;
mod reap;

pub use application::Application;
pub use config::Config;
pub use reap::Reaper;
