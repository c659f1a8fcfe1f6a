//! Everything that is kept in Postgres, one module a table group. SQL stands here and nowhere else.
//!
//! Functions take a connection, so that a caller decides what shares a transaction. No transaction is ever held
//! across a network call to anything but the database.

pub mod audit;
mod connect;
mod database_url;
mod error;
pub mod horizon;
pub mod inbox;
pub mod migrations;
pub mod orders;
pub mod outbox;
mod pool;
mod pool_metrics;
pub mod rebuild;
mod schema;
pub mod shipments;
mod statement;

pub use database_url::DatabaseUrl;
pub use error::StoreError;
pub use pool::{Connection, Database, DatabaseSettings, PooledConnection};
