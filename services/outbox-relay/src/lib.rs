#![doc = include_str!("../README.md")]

mod application;
mod config;
mod outbox;

pub use application::{Relay, build, relay};
pub use config::Config;
pub use outbox::Outbox;
