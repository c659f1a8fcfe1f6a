#![doc = include_str!("../README.md")]

pub mod audit;
pub mod changes;
mod closing;
mod connect;
mod database_url;
mod error;
pub mod horizon;
mod json_text;
pub mod migrations;
pub mod operator_actions;
pub mod orders;
pub mod outbox;
mod pool;
mod pool_metrics;
pub mod rebuild;
mod schema;
pub mod shards;
pub mod shipments;
mod statement;
mod tid;

pub use database_url::DatabaseUrl;
pub use error::StoreError;
pub use pool::{Connection, Database, DatabaseSettings, PooledConnection};
