#![doc = include_str!("../README.md")]

mod application;
mod config;
mod delays;
mod dispatch;
mod intake;
mod observe;

pub use application::build;
pub use config::Config;
