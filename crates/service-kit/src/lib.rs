#![doc = include_str!("../README.md")]

pub mod close_connections;
pub mod config;
pub mod convert;
pub mod credentials;
pub mod event_stream;
pub mod health;
pub mod jwt;
pub mod lifecycle;
pub mod retry;
pub mod telemetry;

pub use health::heartbeat::Heartbeat;
pub use telemetry::error_chain::Chain;
