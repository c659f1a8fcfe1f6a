#![doc = include_str!("../README.md")]

mod application;
mod batch;
mod config;
mod in_flight;
mod lane;
mod leases;
mod observe;
mod relay;
mod settle;
mod step;
mod wake;

pub use application::build;
pub use config::Config;
pub use relay::Relay;
pub use step::{RelayError, Step};
