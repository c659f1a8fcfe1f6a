//! The pages over HTTP.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actions;
mod browser;
mod dead_letters;
mod group_letters;
mod live;
mod pages;
mod shipments;
mod sign_in;
mod topics;
mod verify;
