//! Events that are not published yet.

use diesel::sql_types::{BigInt, SmallInt, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use uuid::Uuid;

use super::PAGE;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// An event in the outbox or among its dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// The order that it is about.
    pub order_id: OrderId,
    /// `ce_type`.
    pub event_type: String,
    /// Whether it is a dead letter: Kafka rejected it permanently, and it was not redriven.
    pub refused: bool,
}

statement! {
    struct Queued { shard: i16, seq: i64, limit: i64 } -> (SmallInt, BigInt, SqlUuid, Text);
    "SELECT shard, seq, aggregate_id, event_type FROM sales.outbox_events
     WHERE (shard, seq) > (" {SmallInt = shard} ", " {BigInt = seq} ")
     ORDER BY shard, seq LIMIT " {BigInt = limit} ""
}

statement! {
    struct Refused { id: i64, limit: i64 } -> (BigInt, SqlUuid, Text);
    "SELECT id, aggregate_id, event_type FROM sales.outbox_dead_letters
     WHERE redriven_at IS NULL AND id > " {BigInt = id} "
     ORDER BY id LIMIT " {BigInt = limit} ""
}

/// Passes every event in the outbox to `sink`, then every dead letter that was not redriven, page
/// by page.
pub async fn waiting(
    connection: &mut Connection,
    mut sink: impl FnMut(Vec<WaitingEvent>) + Send,
) -> Result<(), StoreError> {
    let event = |order: Uuid, event_type, refused| WaitingEvent {
        order_id: order.into(),
        event_type,
        refused,
    };
    let (mut shard, mut seq) = (-1, 0);
    loop {
        let page = Queued { shard: &shard, seq: &seq, limit: &PAGE };
        let rows: Vec<(i16, i64, Uuid, String)> = page.load(connection).await?;
        let Some(last) = rows.last() else { break };
        (shard, seq) = (last.0, last.1);
        sink(rows.into_iter().map(|(_, _, order, kind)| event(order, kind, false)).collect());
    }
    let mut id = 0;
    loop {
        let rows: Vec<(i64, Uuid, String)> =
            Refused { id: &id, limit: &PAGE }.load(connection).await?;
        let Some(last) = rows.last() else { break };
        id = last.0;
        sink(rows.into_iter().map(|(_, order, kind)| event(order, kind, true)).collect());
    }
    Ok(())
}
