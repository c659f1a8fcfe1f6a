//! status-consumer: applies what delivery reports to the orders, each event once.

mod application;
mod apply;
mod config;

pub use application::Application;
pub use config::Config;
