#![doc = include_str!("../README.md")]

mod client;
pub mod consumer;
pub mod dead_letter;
pub mod partitioner;
mod poison_breaker;
mod publisher;
pub mod reader;
mod record;
pub mod redrive;
mod spans;
pub mod topic_admin;

pub use client::security::{KafkaSecurity, Mechanism, Protocol};
pub use client::settings::KafkaSettings;
pub use poison_breaker::{PoisonBreaker, PoisonSettings};
pub use publisher::Publisher;
pub use publisher::in_flight::{DeliveryReports, InFlight, PendingEvent};
pub use publisher::in_flight_batches::{InFlightBatch, InFlightBatches, REPORT_WAIT};
pub use publisher::publish_error::PublishError;
pub use record::Record;
