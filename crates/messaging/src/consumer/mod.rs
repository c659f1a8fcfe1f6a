//! Consuming: a handler says what a batch means; everything else is around it.
//!
//! The runner decodes, retries what can pass, puts aside what can't, and stores offsets only after the effect. So a
//! record is handled at least once, in order within its partition, and a handler has to be idempotent.
//!
//! | file | what is in it |
//! |---|---|
//! | `runner` | the loop around a handler, and what becomes of records that it can never process |
//! | `source` | gathering records, and waiting without losing the place in the group |
//! | `batch` | records with their events, and how a bad one is found among them |
//! | `offsets` | which partitions this member holds, and how far each is done |
//! | `rebalance` | what happens when partitions come and go |
//! | `lag` | how far behind the group is, as metrics |
//! | `skipped` | records that the topic retired before they were read |
//! | `progress` | whether a batch waits for long, for the readiness endpoint |
//! | `watchdog` | telling a loop that stands still from one with nothing to do |
//! | `member` | the Kafka client, and how it leaves its group |
//! | `settings` | what a service and its operator choose |

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
