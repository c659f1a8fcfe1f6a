//! delivery-service: ships every new order by itself and reports each step.
//!
//! The timer of an order is a row, not a task: it survives a kill at any point, and any number of instances share
//! the rows that are due.

mod application;
mod config;
mod delays;
mod dispatch;
mod intake;
mod observe;

pub use application::Application;
pub use config::Config;
