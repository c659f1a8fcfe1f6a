#![doc = include_str!("../README.md")]

mod error;
pub mod outbox_dead_letters;
pub mod progress;
pub mod repair;
pub mod settings;
mod throttle;
pub mod token;
pub mod topics;
pub mod verify;

pub use error::OperationError;
pub use throttle::{Throttle, parse_rate};
