//! The commands of the operator's tool, run as processes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod commands;
mod contracts;
mod demo;
mod discard;
mod dlq;
mod dlq_redrive;
mod orders;
mod outbox;
mod outbox_redrive;
mod repair;
mod seed;
mod shipments;
mod signals;
mod topics;
mod verify;
