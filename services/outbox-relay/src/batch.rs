//! Rows that are published together.

use std::collections::HashSet;
use std::mem;

use contracts::message::EventMessage;
use store::outbox::OutboxRow;

/// Keeps the first row of each order: a row that cannot be published must not be overtaken by the
/// next one.
pub(crate) fn oldest_per_order(rows: Vec<OutboxRow>) -> Vec<OutboxRow> {
    let mut orders = HashSet::with_capacity(rows.len());
    rows.into_iter().filter(|row| orders.insert(row.event.order_id())).collect()
}

/// Moves the payload into the message instead of copying it, because it may be large.
pub(crate) fn message(row: &mut OutboxRow) -> EventMessage {
    let payload = mem::take(&mut row.event.payload);
    EventMessage { payload, ..row.event.clone() }
}

#[cfg(test)]
mod tests {
    use contracts::delivery_events::DeliveryEvent;
    use contracts::message::Origin;
    use domain::{DeliveryStep, OrderId};

    use super::*;

    fn row(order_id: OrderId, seq: i64) -> OutboxRow {
        let at = std::time::SystemTime::UNIX_EPOCH.into();
        let event = DeliveryEvent { order_id, step: DeliveryStep::Shipped, at };
        let event = event.message(Origin::new("/test", "t"));
        OutboxRow { shard: 0, seq, event, redrive_count: 0 }
    }

    #[test]
    fn a_batch_has_the_oldest_row_of_each_order() {
        let (a, b) = (OrderId::generate(), OrderId::generate());
        let batch = oldest_per_order(vec![row(a, 1), row(a, 2), row(b, 3)]);
        assert_eq!(batch.iter().map(|row| row.seq).collect::<Vec<_>>(), [1, 3]);
    }
}
