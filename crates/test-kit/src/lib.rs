#![doc = include_str!("../README.md")]
// An error in the test support ends the test, so this crate panics where the others return errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod collector;
mod database;
mod kafka;
mod order;
mod outbox;
mod ports;
mod service;
mod stack;
mod wait;
mod world;

pub use collector::{CollectedSpan, Collector};
pub use database::{OpenTransaction, TestDatabase};
pub use kafka::group::{Group, GroupMember};
pub use kafka::poison::{PlainRecord, poison_variants};
pub use kafka::topics::{
    delete_topic, empty_topic, limit_records, produce, produce_all, produce_at, produce_compressed,
    read_all, topic_setting,
};
pub use order::order_draft;
pub use outbox::{outbox_event, put_into_dead_letters, put_into_outbox};
pub use ports::free_port;
pub use service::management::{
    get_json, is_ready, metrics, until_processed, until_ready, until_stalled,
};
pub use service::process::{Log, Process, program, run_until_exit};
pub use service::running::Running;
pub use stack::balancer::Balancer;
pub use stack::proxied::ProxiedStack;
pub use stack::proxy::{Proxy, TrapPoint};
pub use stack::secure::{KAFKA_PASSWORD, KAFKA_USER, SecureStack};
pub use stack::{PrivateStack, Stack, stack_variables};
pub use wait::{eventually, eventually_within};
pub use world::{World, bearer, bearer_with, seconds_from_now, signed};
