//! The conditions of the statements on dead letters, each written once.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Integer, Text, Uuid as SqlUuid};
use domain::OrderId;
use uuid::Uuid;

use super::{DeadLetterFilter, Selection};
use crate::statement::push;

/// A dead letter that waits for an operator. The condition of a partial index.
pub(in crate::outbox) const WAITS: &str = "redriven_at IS NULL AND discarded_at IS NULL";

/// The condition of a filter. Only what is given is in the text, so that each filter uses its index.
pub(super) struct Matching<'a> {
    id: Option<i64>,
    topic: &'a Option<String>,
    order: Option<Uuid>,
}

impl<'a> Matching<'a> {
    pub(super) fn of(filter: &'a DeadLetterFilter) -> Self {
        let DeadLetterFilter { id, topic, order } = filter;
        Self { id: *id, topic, order: order.map(OrderId::as_uuid) }
    }
}

impl QueryFragment<Pg> for Matching<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let Self { id, topic, order } = self;
        out.push_sql("true");
        if let Some(id) = id {
            push!(out " AND id = " {BigInt = id});
        }
        if let Some(topic) = topic {
            push!(out " AND topic COLLATE \"C\" = " {Text = topic});
        }
        if let Some(order) = order {
            push!(out " AND aggregate_id = " {SqlUuid = order});
        }
        Ok(())
    }
}

/// The oldest `limit` selected dead letters with an id up to `newest`, locked. A statement waits for
/// those that a concurrent one has locked, and leaves them if they do not wait any more.
pub(super) struct Chosen<'a> {
    matching: Matching<'a>,
    max_redrives: i32,
    newest: i64,
    limit: i64,
}

impl<'a> Chosen<'a> {
    pub(super) fn of(selection: &'a Selection, newest: i64, limit: i64) -> Self {
        let Selection { filter, max_redrives } = selection;
        Self { matching: Matching::of(filter), max_redrives: *max_redrives, newest, limit }
    }
}

impl QueryFragment<Pg> for Chosen<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let Self { matching, max_redrives, newest, limit } = self;
        push!(out "SELECT id FROM sales.outbox_dead_letters
        WHERE " (WAITS) " AND redrive_count < " {Integer = max_redrives} " AND id <= " {BigInt = newest} " AND " {matching} "
        ORDER BY id LIMIT " {BigInt = limit} " FOR UPDATE");
        Ok(())
    }
}
