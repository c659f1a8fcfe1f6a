#![doc = include_str!("../README.md")]

mod application;
mod apply;
mod config;
mod reap;

pub use application::Application;
pub use config::Config;
pub use reap::Reaper;
