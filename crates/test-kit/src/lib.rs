#![doc = include_str!("../README.md")]
// An error in the test support ends the test, so this crate panics where the others return errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

mod balancer;
mod collector;
mod database;
mod group;
mod management;
mod outbox;
mod poison;
mod ports;
mod process;
mod proxy;
mod running;
mod secure;
mod slow;
mod stack;
mod topics;
mod wait;
mod world;

pub use balancer::Balancer;
pub use collector::{CollectedSpan, Collector};
pub use database::{OpenTransaction, TestDatabase};
pub use group::{Group, GroupMember};
pub use management::{get_json, is_ready, metrics, until_processed, until_ready, until_stalled};
pub use outbox::{outbox_event, put_into_outbox};
pub use poison::{PlainRecord, poison_variants};
pub use ports::free_port;
pub use process::{Log, Process, program, run_until_exit};
pub use proxy::Proxy;
pub use running::Running;
pub use secure::{KAFKA_PASSWORD, KAFKA_USER, SecureStack};
pub use slow::SlowStack;
pub use stack::{PrivateStack, Stack, stack_variables};
pub use topics::{
    delete_topic, empty_topic, limit_records, produce, produce_all, produce_at, produce_compressed,
    read_all, topic_setting,
};
pub use wait::{eventually, eventually_within};
pub use world::{World, bearer, bearer_with, seconds_from_now, signed};
