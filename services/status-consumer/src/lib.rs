#![doc = include_str!("../README.md")]

mod application;
mod apply;
mod config;

pub use application::build;
pub use config::Config;
