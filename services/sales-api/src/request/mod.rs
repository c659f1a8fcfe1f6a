//! Reading what a client sent. Every fault is named with its place, and all of them at once.

mod body_reader;
mod idempotency_key;
mod listing;
mod order;
mod simulation;

pub(crate) use listing::{ListingRequest, listing};
pub(crate) use order::order_request;
pub(crate) use simulation::simulated_step;
