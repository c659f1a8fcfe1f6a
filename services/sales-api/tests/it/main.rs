//! The sales API over HTTP, against a real PostgreSQL and a real inventory process's code.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod auth;
mod create_order;
mod get_order;
mod health;
mod idempotency;
mod keys;
mod outages;
mod overload;
mod problems;
mod process;
