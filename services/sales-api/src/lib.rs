//! sales-api: accepts orders over HTTP. An accepted order is never lost.
//!
//! `routes` translate a request, a use case decides on it, and `store` persists the decision.

mod admission;
mod application;
mod auth;
mod body;
mod config;
mod cors;
mod create_order;
mod cursor;
mod inventory;
mod json;
mod list_orders;
mod openapi;
mod order_writer;
mod outbox_notifier;
mod problem;
mod rate_limit;
mod request;
mod request_metrics;
mod request_scope;
mod routes;
mod shared;
mod simulate_delivery;
mod tokens;
mod unread_body;

pub use application::Application;
pub use config::Config;
