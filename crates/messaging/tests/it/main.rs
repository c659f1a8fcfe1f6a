//! The consumer runner on a real Kafka.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handover;
mod liveness;
mod outage;
mod poison;
mod recorder;
mod redrive;
mod static_membership;
