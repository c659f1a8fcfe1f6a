//! inventory-mock: stands in for a shop's real inventory, and can be made slow or broken while it runs.

mod application;
mod behaviour;
mod config;
mod routes;

pub use application::Application;
pub use config::Config;
