//! The pages over HTTP.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod dead_letters;
mod live;
mod pages;
mod sign_in;
