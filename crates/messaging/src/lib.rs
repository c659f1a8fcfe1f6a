#![doc = include_str!("../README.md")]

pub mod consumer;
mod context;
pub mod dead_letter;
mod deliveries;
mod in_flight;
mod in_flight_batches;
mod poison_breaker;
mod publish_error;
mod publisher;
pub mod reader;
mod record;
pub mod redrive;
mod renewed_producer;
mod security;
mod settings;
mod spans;
pub mod topic_admin;

pub use in_flight::{DeliveryReports, InFlight, PendingEvent};
pub use in_flight_batches::{InFlightBatch, InFlightBatches, REPORT_WAIT};
pub use poison_breaker::{PoisonBreaker, PoisonSettings};
pub use publish_error::PublishError;
pub use publisher::Publisher;
pub use record::Record;
pub use security::{KafkaSecurity, Mechanism, Protocol};
pub use settings::KafkaSettings;
