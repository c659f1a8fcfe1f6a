//! Parses requests. A response lists all errors of a request, each with its location.

mod body_reader;
mod idempotency_key;
mod listing;
mod order;
mod simulation;

pub(crate) use listing::{ListingRequest, listing};
pub(crate) use order::order_request;
pub(crate) use simulation::simulated_step;
