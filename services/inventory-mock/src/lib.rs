//! inventory-mock: stands in for the inventory of a shop. Its failures and delays can be changed at
//! run time.

mod application;
mod behaviour;
mod config;
mod routes;

pub use application::build;
pub use config::Config;
