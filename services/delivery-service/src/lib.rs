#![doc = include_str!("../README.md")]

mod application;
mod config;
mod delays;
mod due_steps;
mod intake;

pub use application::build;
pub use config::Config;
