//! status-consumer with a real Kafka and a real PostgreSQL.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod apply;
mod cancel;
mod lag;
mod liveness;
mod members;
mod poison;
mod shop;
