//! delivery-service: ships and delivers every new order, and publishes each step.
//!
//! The timer of an order is a row, not a task, so it survives a kill at any point. Any number of
//! instances share the due rows.

mod application;
mod config;
mod delays;
mod dispatch;
mod intake;
mod observe;

pub use application::build;
pub use config::Config;
