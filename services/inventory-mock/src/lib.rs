#![doc = include_str!("../README.md")]

mod application;
mod behaviour;
mod config;
mod routes;

pub use application::build;
pub use config::Config;
