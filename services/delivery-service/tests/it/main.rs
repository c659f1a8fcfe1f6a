//! delivery-service with a real PostgreSQL and a real Kafka.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cancel;
mod deliver;
mod leases;
mod liveness;
mod partitions;
mod poison;
mod process;
mod refused;
mod replicas;
mod shop;
