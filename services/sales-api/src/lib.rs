//! sales-api: accepts orders over HTTP. An accepted order is never lost.
//!
//! The routes in `http` translate a request, a use case in `orders` decides on it, and `store` persists
//! the decision.

mod application;
mod auth;
mod config;
mod http;
mod inventory;
mod orders;

pub use application::build;
pub use config::Config;
