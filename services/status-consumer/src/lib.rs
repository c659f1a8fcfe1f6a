#![doc = include_str!("../README.md")]

mod application;
mod apply;
mod config;
mod reap;

pub use application::build;
pub use config::Config;
pub use reap::Reaper;
