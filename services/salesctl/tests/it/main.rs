//! The whole system, driven by the operator's tool.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod configuration;
mod conformance;
mod contracts;
mod demo;
mod dev_commands;
mod dlq;
mod dlq_redrive;
mod documentation;
mod documented_commands;
mod load;
mod logs;
mod memory;
mod observability;
mod orders;
mod outages;
mod outbox;
mod outbox_redrive;
mod processes;
mod repair;
mod roles;
mod rollout;
mod secure_connections;
mod shipments;
mod signals;
mod storm;
mod system;
mod topics;
mod traces;
mod verify;
mod versions;
