//! Looking at dead letters.

use chrono::{DateTime, Utc};
use diesel::OptionalExtension;
use diesel::sql_types::{
    BigInt, Bool, Integer, Jsonb, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid,
};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use uuid::Uuid;

use crate::outbox::OutboxEvent;
use crate::statement::statement;
use crate::{Connection, StoreError};

/// An event that was put aside, without its payload, which may be the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names the dead letter; later ones have larger numbers.
    pub id: i64,
    /// `ce_id` of the event.
    pub event_id: Uuid,
    /// The order.
    pub order_id: OrderId,
    /// Where it should have gone.
    pub topic: String,
    /// `ce_type`.
    pub event_type: String,
    /// How often it was tried.
    pub attempts: i16,
    /// Why it was given up.
    pub reason: String,
    /// When it was given up.
    pub dead_lettered_at: DateTime<Utc>,
    /// When it was put back; `None` while it waits.
    pub redriven_at: Option<DateTime<Utc>>,
    /// How often the event was put back, this time included.
    pub redrive_count: i32,
}

/// A dead letter with everything that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeDeadLetter {
    /// What happened to it.
    pub letter: DeadLetter,
    /// The event, as it would be published.
    pub event: OutboxEvent,
    /// When it came into the outbox.
    pub enqueued_at: DateTime<Utc>,
}

/// Which dead letters are meant; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only this one.
    pub id: Option<i64>,
    /// Only those for this topic.
    pub topic: Option<String>,
    /// Only those of this order.
    pub order: Option<OrderId>,
}

type Row =
    (i64, Uuid, Uuid, String, String, i16, String, DateTime<Utc>, Option<DateTime<Utc>>, i32);
type RowTypes = (
    BigInt,
    SqlUuid,
    SqlUuid,
    Text,
    Text,
    SmallInt,
    Text,
    Timestamptz,
    Nullable<Timestamptz>,
    Integer,
);

statement! {
    struct List {
        redriven: bool, topic: Option<String>, order: Option<Uuid>, limit: i64,
    } -> RowTypes;
    "SELECT id, event_id, aggregate_id, topic, event_type, attempts, reason, dead_lettered_at, redriven_at, redrive_count
     FROM sales.outbox_dead_letters
     WHERE (redriven_at IS NULL OR " {Bool = redriven} ")
       AND topic = COALESCE(" {Nullable<Text> = topic} ", topic)
       AND aggregate_id = COALESCE(" {Nullable<SqlUuid> = order} ", aggregate_id)
     ORDER BY id DESC LIMIT " {BigInt = limit}
}

/// The latest dead letters, newest first: those that wait, and with `redriven` those that were put back too.
pub async fn list(
    connection: &mut Connection,
    filter: &DeadLetterFilter,
    redriven: bool,
    limit: i64,
) -> Result<Vec<DeadLetter>, StoreError> {
    let order = filter.order.map(OrderId::as_uuid);
    let statement =
        List { redriven: &redriven, topic: &filter.topic, order: &order, limit: &limit };
    let rows: Vec<Row> = statement.load(connection).await?;
    Ok(rows.into_iter().map(DeadLetter::from).collect())
}

statement! {
    struct Find { id: i64 } -> (RowTypes, (Text, Jsonb, Timestamptz, Timestamptz));
    "SELECT id, event_id, aggregate_id, topic, event_type, attempts, reason, dead_lettered_at, redriven_at,
            redrive_count, payload::text, headers, occurred_at, created_at
     FROM sales.outbox_dead_letters WHERE id = " {BigInt = id}
}

/// One dead letter, whole.
pub async fn find(
    connection: &mut Connection,
    id: i64,
) -> Result<Option<WholeDeadLetter>, StoreError> {
    type Content = (String, serde_json::Value, DateTime<Utc>, DateTime<Utc>);
    let row: Option<(Row, Content)> = Find { id: &id }.get_result(connection).await.optional()?;
    let Some((row, (payload, headers, occurred_at, enqueued_at))) = row else { return Ok(None) };
    let letter = DeadLetter::from(row);
    let event = OutboxEvent {
        event_id: letter.event_id,
        aggregate_id: letter.order_id,
        topic: letter.topic.clone(),
        event_type: letter.event_type.clone(),
        payload,
        headers: serde_json::from_value(headers).map_err(StoreError::corrupt("outbox header"))?,
        occurred_at,
    };
    Ok(Some(WholeDeadLetter { letter, event, enqueued_at }))
}

impl From<Row> for DeadLetter {
    fn from(row: Row) -> Self {
        let (id, event_id, order, topic, event_type, attempts, reason, at, redriven_at, redriven) =
            row;
        Self {
            id,
            event_id,
            order_id: order.into(),
            topic,
            event_type,
            attempts,
            reason,
            dead_lettered_at: at,
            redriven_at,
            redrive_count: redriven,
        }
    }
}
