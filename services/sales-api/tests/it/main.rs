//! The sales API over HTTP, with a real PostgreSQL and the inventory mock in the same process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod auth;
mod cancel_order;
mod connections;
mod contract;
mod create_order;
mod document;
mod get_order;
mod health;
mod http;
mod idempotency;
mod keys;
mod list_orders;
mod order_events;
mod outages;
mod overload;
mod problems;
mod process;
mod simulate_delivery;
mod stop;
