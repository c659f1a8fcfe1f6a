//! Rows that are published together.

use std::collections::HashSet;
use std::mem;

use contracts::cloud_events::Attributes;
use messaging::Publication;
use store::outbox::OutboxRow;

/// Keeps the first row of each order: a row that cannot be published must not be overtaken by the
/// next one.
pub(crate) fn oldest_per_order(rows: Vec<OutboxRow>) -> Vec<OutboxRow> {
    let mut orders = HashSet::with_capacity(rows.len());
    rows.into_iter().filter(|row| orders.insert(row.event.aggregate_id)).collect()
}

/// Moves the payload into the record instead of copying it, because it may be large.
pub(crate) fn publication(row: &mut OutboxRow) -> Publication {
    let event = &mut row.event;
    Publication {
        topic: event.topic.clone(),
        key: event.aggregate_id.to_string(),
        attributes: Attributes {
            id: event.event_id,
            source: event.headers.source.clone(),
            event_type: event.event_type.clone(),
            time: event.occurred_at,
            subject: event.aggregate_id.as_uuid(),
            data_schema: event.headers.data_schema.clone(),
            correlation_id: event.headers.correlation_id.clone(),
            trace: event.headers.trace(),
        },
        payload: mem::take(&mut event.payload),
    }
}

#[cfg(test)]
mod tests {
    use domain::OrderId;
    use store::outbox::{EventHeaders, OutboxEvent};
    use uuid::Uuid;

    use super::*;

    fn row(order: OrderId, seq: i64) -> OutboxRow {
        let headers = EventHeaders {
            source: "/test".into(),
            data_schema: "urn:sales:test:1.0".into(),
            correlation_id: None,
            traceparent: None,
            tracestate: None,
        };
        let event = OutboxEvent {
            event_id: Uuid::nil(),
            aggregate_id: order,
            topic: "t".into(),
            event_type: "test".into(),
            payload: "{}".into(),
            headers,
            occurred_at: std::time::SystemTime::UNIX_EPOCH.into(),
        };
        OutboxRow { shard: 0, seq, event, redrive_count: 0 }
    }

    #[test]
    fn a_batch_has_the_oldest_row_of_each_order() {
        let (a, b) = (OrderId::generate(), OrderId::generate());
        let batch = oldest_per_order(vec![row(a, 1), row(a, 2), row(b, 3)]);
        assert_eq!(batch.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 3]);
    }
}
