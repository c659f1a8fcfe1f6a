//! outbox-relay: publishes events from the outbox in Postgres to Kafka, in sequence per order.
//!
//! Any number of relays share the outbox's 64 shards. An event is published at least once: if a
//! relay dies between the acknowledgement and the mark, another relay publishes the row again, with
//! the same id.

mod application;
mod batch;
mod config;
mod flight;
mod lane;
mod leases;
mod observe;
mod relay;
mod settle;
mod step;
mod wake;

pub use application::build;
pub use config::Config;
pub use relay::Relay;
pub use step::{RelayError, Step};
