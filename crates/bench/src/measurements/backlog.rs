//! A backlog of events that a relay can drain again and again.

use super::stage::{self, Stage};
use crate::failure::Failure;
use crate::report::cost::Cost;
use crate::system::System;

/// The relay and its counter of published events.
pub(crate) const RELAY: (&str, &str) = ("outbox-relay", "queue_published_total");

const COPY: &str = "CREATE TABLE sales.bench_backlog AS SELECT * FROM sales.outbox_events";
/// A second, later event for a third of the orders, so that the relay has to keep their order.
const MORE_EVENTS: &str = "INSERT INTO sales.outbox_events
        (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)
    SELECT shard, gen_random_uuid(), aggregate_id, topic, event_type, payload, headers, occurred_at
    FROM sales.outbox_events WHERE seq % 3 = 0 ORDER BY seq";
/// The rows get new positions at the end of the outbox, as new events do.
const REFILL: &str = "INSERT INTO sales.outbox_events
        (shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at)
    SELECT shard, event_id, aggregate_id, topic, event_type, payload, headers, occurred_at
    FROM sales.bench_backlog ORDER BY seq";

/// A table beside the outbox, which holds a copy of the events.
pub(crate) struct Backlog {
    events: u64,
}

impl Backlog {
    /// Creates about this many events. Empties the outbox.
    pub(crate) fn create(system: &System, events: u64) -> Result<Self, Failure> {
        system.seed_waiting(events / 4 * 3)?;
        system.sql(&[MORE_EVENTS, COPY, "TRUNCATE sales.outbox_events"])?;
        Ok(Self { events: system.count("SELECT count(*) FROM sales.bench_backlog")? })
    }

    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Fills the outbox and starts a relay, which drains it.
    pub(crate) fn drain(&self, system: &mut System, cost: &mut Cost) -> Result<Stage, Failure> {
        system.sql(&[REFILL, "VACUUM ANALYZE sales.outbox_events", "CHECKPOINT"])?;
        stage::run(system, RELAY, self.events, cost)
    }

    /// Deletes the copy.
    pub(crate) fn delete(system: &System) -> Result<(), Failure> {
        system.sql(&["DROP TABLE sales.bench_backlog"])
    }
}
