//! Reads dead letters.

use chrono::{DateTime, Utc};
use contracts::message::EventMessage;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, Queryable};
use diesel_async::RunQueryDsl;
use domain::OrderId;
use uuid::Uuid;

use super::matching::{Matching, WAITS};
use crate::outbox::event::{EventColumns, EventRow};
use crate::statement::{push, statement};
use crate::{Connection, StoreError};

/// A dead letter without the event's payload, which may be large.
#[derive(Clone, Debug, PartialEq, Eq, Queryable)]
pub struct DeadLetter {
    /// The dead letter's id; later dead letters have larger ids.
    pub id: i64,
    /// `ce_id` of the event.
    pub event_id: Uuid,
    /// The order's id.
    #[diesel(deserialize_as = Uuid)]
    pub order_id: OrderId,
    /// The topic that the event was for.
    pub topic: String,
    /// `ce_type`.
    pub event_type: String,
    /// The reason for the dead letter.
    pub reason: String,
    /// When the event was dead-lettered.
    pub dead_lettered_at: DateTime<Utc>,
    /// When the event was redriven; `None` if it was not.
    pub redriven_at: Option<DateTime<Utc>>,
    /// How often the event was redriven, including this redrive.
    pub redrive_count: i32,
    /// When an operator discarded it; `None` if none did.
    pub discarded_at: Option<DateTime<Utc>>,
    /// Why it was discarded.
    pub discard_reason: Option<String>,
}

/// A dead letter with its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterDetails {
    /// The dead letter.
    pub letter: DeadLetter,
    /// The event, as it would be published.
    pub event: EventMessage,
    /// When the event was inserted into the outbox.
    pub enqueued_at: DateTime<Utc>,
}

/// Selects dead letters; all by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only the dead letter with this id.
    pub id: Option<i64>,
    /// Only events for this topic.
    pub topic: Option<String>,
    /// Only events of this order.
    pub order: Option<OrderId>,
}

type RowTypes = (
    BigInt,
    SqlUuid,
    SqlUuid,
    Text,
    Text,
    Text,
    Timestamptz,
    Nullable<Timestamptz>,
    Integer,
    Nullable<Timestamptz>,
    Nullable<Text>,
);

statement! {
    varying struct List { matching: Matching<'a>, order: NewestFirst, limit: i64 } -> RowTypes;
    "SELECT id, event_id, aggregate_id, topic, event_type, reason, dead_lettered_at, redriven_at, redrive_count,
            discarded_at, discard_reason
     FROM sales.outbox_dead_letters
     WHERE " {matching} " " {order} " LIMIT " {BigInt = limit}
}

/// The rest of the condition, and the order of the list.
struct NewestFirst {
    undecided: bool,
    /// Whether the list is that of a topic or of an order, whose indexes are descending by an expression.
    is_filtered: bool,
}

impl QueryFragment<Pg> for NewestFirst {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        if self.undecided {
            push!(out "AND " (WAITS));
        }
        out.push_sql(if self.is_filtered { " ORDER BY -id" } else { " ORDER BY id DESC" });
        Ok(())
    }
}

impl NewestFirst {
    fn of(filter: &DeadLetterFilter, undecided: bool) -> Self {
        Self { undecided, is_filtered: filter.topic.is_some() || filter.order.is_some() }
    }
}

/// The latest `limit` dead letters, newest first. Includes redriven and discarded ones only if
/// `decided` is set.
pub async fn list(
    connection: &mut Connection,
    filter: &DeadLetterFilter,
    decided: bool,
    limit: i64,
) -> Result<Vec<DeadLetter>, StoreError> {
    let (matching, order) = (&Matching::of(filter), &NewestFirst::of(filter, !decided));
    Ok(List { matching, order, limit: &limit }.load(connection).await?)
}

statement! {
    struct Find { id: i64 } -> (RowTypes, EventColumns, Timestamptz);
    "SELECT id, event_id, aggregate_id, topic, event_type, reason, dead_lettered_at, redriven_at, redrive_count,
            discarded_at, discard_reason,
            event_id, aggregate_id, topic, event_type, payload, headers, occurred_at, created_at
     FROM sales.outbox_dead_letters WHERE id = " {BigInt = id}
}

/// The dead letter with this id, with its event.
pub async fn find(
    connection: &mut Connection,
    id: i64,
) -> Result<Option<DeadLetterDetails>, StoreError> {
    let row: Option<(DeadLetter, EventRow, DateTime<Utc>)> =
        Find { id: &id }.get_result(connection).await.optional()?;
    row.map(|(letter, event, enqueued_at)| {
        Ok(DeadLetterDetails { letter, event: event.try_into()?, enqueued_at })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use domain::OrderId;
    use test_kit::World;

    use super::{DeadLetterFilter, Find, List, Matching, NewestFirst};
    use crate::statement::plan_by_index;

    #[tokio::test]
    async fn dead_letters_are_listed_along_an_index_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        world.database.execute("VACUUM ANALYZE sales.outbox_dead_letters").await;
        let all = DeadLetterFilter::default();
        let of_topic = DeadLetterFilter { topic: Some("a".to_owned()), ..all.clone() };
        let of_order = DeadLetterFilter { order: Some(OrderId::generate()), ..all.clone() };
        for (filter, undecided, index) in [
            (&all, false, "outbox_dead_letters_pkey"),
            (&all, true, "outbox_dead_letters_undecided"),
            (&of_topic, false, "outbox_dead_letters_by_topic"),
            (&of_order, false, "outbox_dead_letters_by_order"),
            (&of_order, true, "outbox_dead_letters_"),
        ] {
            let (matching, order) = (&Matching::of(filter), &NewestFirst::of(filter, undecided));
            let plan = plan_by_index(&world, &List { matching, order, limit: &100 }).await;
            assert!(plan.contains(&format!("using {index}")), "{index}: {plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        }
        let one = plan_by_index(&world, &Find { id: &1 }).await;
        assert!(one.contains("using outbox_dead_letters_pkey"), "{one}");
    }
}
