//! Tests of the whole system.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cancel;
mod configuration;
mod conformance;
mod documentation;
mod documented_commands;
mod load;
mod logs;
mod memory;
mod observability;
mod outages;
mod previous_version;
mod processes;
mod roles;
mod rollout;
mod secure_connections;
mod shop;
mod storm;
mod traces;
