//! outbox-relay: carries events from the outbox in Postgres to Kafka, in order for each order.
//!
//! Any number of relays share the outbox's 64 shards. A record is published at least once: a relay that dies
//! between the broker's answer and the mark leaves a row that its successor publishes again, with the same id.

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

pub use application::Application;
pub use config::Config;
pub use relay::Relay;
pub use step::{RelayError, Step};
