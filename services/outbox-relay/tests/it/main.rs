//! The relay with a real PostgreSQL and a real Kafka.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod dead_letters;
mod leases;
mod outbox;
mod partitions;
mod process;
mod publish;
mod service;
