//! sales-api: takes orders over HTTP and never loses one.
//!
//! A request goes through `routes`, which translate, to a use case, which decides; `store` keeps what it decided.

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
mod outbox_bell;
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
