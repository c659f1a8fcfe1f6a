#![doc = include_str!("../README.md")]

pub mod dead_letter_topics;
mod error;
pub mod long_action;
pub mod outbox_dead_letters;
pub mod progress;
pub mod records;
pub mod refused_steps;
pub mod repair;
pub mod settings;
mod throttle;
pub mod token;
pub mod topics;
pub mod verify;

pub use error::OperationError;
pub use throttle::{Throttle, parse_rate};
