//! Parses requests. A response lists all errors of a request, each with its location.

pub(crate) mod body;
pub(crate) mod caller;
mod cancellation;
mod feed;
mod json;
mod listing;
mod metadata;
mod order;
mod simulation;

pub(crate) use caller::Authenticated;
pub(crate) use cancellation::cancellation_reason;
pub(crate) use feed::feed_request;
pub(crate) use listing::listing;
pub(crate) use order::order_request;
pub(crate) use simulation::simulated_step;
