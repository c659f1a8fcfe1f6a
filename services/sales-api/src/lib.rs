#![doc = include_str!("../README.md")]

mod application;
mod config;
mod http;
mod inventory;
mod orders;
mod shared;

pub use application::build;
pub use config::Config;
