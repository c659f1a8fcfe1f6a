//! Consumes a topic: a handler processes batches of events, and the runner does everything else.
//!
//! The runner decodes records, retries transient errors, dead-letters poison, and stores offsets
//! only after the effect. So a record is handled at least once, in order within its partition, and
//! a handler must be idempotent.
//!
//! | file | content |
//! |---|---|
//! | `runner` | the loop around a handler, and the handling of poison |
//! | `source` | reading batches, and waiting without leaving the group |
//! | `batch` | records with their events, and the bisection that finds a poison record |
//! | `offsets` | the assigned partitions, and how far each is processed |
//! | `rebalance` | assignment and revocation of partitions |
//! | `lag` | the lag of this member, as metrics |
//! | `skipped` | records that the topic deleted before they were read |
//! | `progress` | whether a batch waits for long, for the readiness endpoint |
//! | `watchdog` | distinguishing a stalled loop from an idle one |
//! | `member` | the Kafka client, and how it leaves its group |
//! | `settings` | settings of the service and of its operator |

mod batch;
mod handler;
mod lag;
mod member;
mod offsets;
mod progress;
mod rebalance;
mod runner;
mod settings;
mod skipped;
mod source;
mod watchdog;

pub use handler::{Handler, HandlerError};
pub use runner::{ConsumerError, Runner};
pub use settings::{ConsumerSettings, MAX_POLL_INTERVAL, RunnerOptions};
