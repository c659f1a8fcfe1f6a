#![doc = include_str!("../README.md")]

pub mod catalogue;
pub mod cloud_events;
pub mod delivery_events;
mod encoding;
pub mod envelope;
pub mod event_id;
pub mod http;
pub mod inventory;
pub mod message;
pub mod order_events;
pub mod outbox_events;
pub mod problem;
mod schemas;
pub mod topics;

pub use encoding::{json_text, parse_timestamp, timestamp_text};
