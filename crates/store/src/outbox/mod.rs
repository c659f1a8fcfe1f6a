//! The outbox: events that are committed together with the change they report, and wait for Kafka.

mod claim;
pub mod dead_letters;
mod enqueue;
mod event;
mod leases;
mod status;
mod wake;

use chrono::{DateTime, Utc};
use contracts::cloud_events::TraceContext;
use domain::OrderId;
use uuid::Uuid;

pub use claim::{Claimed, ClaimedRow, OutboxRow, claim, defer, delete_published};
pub use dead_letters::dead_letter;
pub use enqueue::enqueue;
pub use event::Origin;
pub use leases::{HeldShard, Share, extend, release, share};
pub use status::{LiveRelay, Status, TopicDepth, sample_status, status};
pub use wake::{Listener, Notification, Notifier, Shards};

/// Number of shards of the outbox, and therefore the maximum number of relays that can publish.
pub const SHARDS: i16 = 64;

/// An event in the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// `ce_id`.
    pub event_id: Uuid,
    /// The order's id, which is the key of the record.
    pub aggregate_id: OrderId,
    /// The topic to publish to.
    pub topic: String,
    /// `ce_type`.
    pub event_type: String,
    /// The value: JSON, published byte for byte.
    pub payload: String,
    /// The remaining headers.
    pub headers: EventHeaders,
    /// `ce_time`, to the millisecond.
    pub occurred_at: DateTime<Utc>,
}

/// The headers of a record that have no column of their own in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EventHeaders {
    /// `ce_source`.
    pub source: String,
    /// `ce_dataschema`.
    pub data_schema: String,
    /// `ce_correlationid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The trace of the request that caused the event (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Vendor data of the trace (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<String>,
}

impl EventHeaders {
    fn new(data_schema: String, origin: Origin<'_>) -> Self {
        let Origin { source, correlation_id, trace, .. } = origin;
        let (traceparent, tracestate) =
            trace.map(|trace| (trace.traceparent, trace.tracestate)).unzip();
        Self {
            source: source.to_owned(),
            data_schema,
            correlation_id,
            traceparent,
            tracestate: tracestate.flatten(),
        }
    }

    /// The trace context, if there is one.
    pub fn trace(&self) -> Option<TraceContext> {
        let traceparent = self.traceparent.clone()?;
        Some(TraceContext { traceparent, tracestate: self.tracestate.clone() })
    }
}

/// The shard of an order. All bits of the id enter the hash, so ids of any UUID version spread
/// evenly.
pub fn shard_of(order: OrderId) -> i16 {
    let (high, low) = order.as_uuid().as_u64_pair();
    // Fibonacci hashing: the top six bits of the product depend on all lower bits.
    let mixed = (high ^ low.rotate_left(32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    i16::try_from(mixed >> 58).unwrap_or_default()
}

/// Outbox events as arrays, one per column.
#[derive(Debug, Default)]
pub(crate) struct OutboxColumns {
    pub(crate) shards: Vec<i16>,
    pub(crate) event_ids: Vec<Uuid>,
    pub(crate) aggregates: Vec<Uuid>,
    pub(crate) topics: Vec<String>,
    pub(crate) event_types: Vec<String>,
    pub(crate) payloads: Vec<String>,
    pub(crate) headers: Vec<String>,
    pub(crate) occurred: Vec<DateTime<Utc>>,
}

impl OutboxColumns {
    pub(crate) fn of<'a>(events: impl Iterator<Item = &'a OutboxEvent>) -> Self {
        let mut columns = Self::default();
        for event in events {
            columns.shards.push(shard_of(event.aggregate_id));
            columns.event_ids.push(event.event_id);
            columns.aggregates.push(event.aggregate_id.as_uuid());
            columns.topics.push(event.topic.clone());
            columns.event_types.push(event.event_type.clone());
            columns.payloads.push(event.payload.clone());
            columns.headers.push(serde_json::json!(event.headers).to_string());
            columns.occurred.push(event.occurred_at);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn orders_spread_evenly_over_the_shards() {
        let mut counts = BTreeMap::<i16, u32>::new();
        for _ in 0..64_000 {
            *counts.entry(shard_of(OrderId::generate())).or_default() += 1;
        }
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), (0..SHARDS).collect::<Vec<_>>());
        assert!(counts.values().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn an_order_stays_in_its_shard() {
        assert_eq!(shard_of(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001).into()), 48);
    }
}
