//! The scan of one index, in the order of the list, over at most [`WINDOW`] orders.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, QueryFragment};
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use uuid::Uuid;

use super::{Listing, Sort};
use crate::statement::push;

/// Maximum number of orders that one page reads.
pub(super) const WINDOW: i64 = 2_000;

/// The scan of a listing, as a part of a statement.
pub(super) struct Walk<'a> {
    index: Option<Index<'a>>,
    since: Uuid,
    before: Uuid,
    sort: Sort,
}

/// An index on a column and the id. The condition is that of the partial index, which only lists
/// name.
struct Index<'a> {
    column: &'static str,
    condition: &'static str,
    value: &'a str,
}

impl<'a> Walk<'a> {
    /// The scan that reads the fewest orders: those with a reference, those of a customer, those of
    /// an owner, or all.
    pub(super) fn of(listing: &'a Listing) -> Self {
        let Listing { external_reference, customer_id, owner, .. } = listing;
        let index = |column, condition, value| Index { column, condition, value };
        let reference = external_reference.as_ref().map(|reference| {
            let condition = "external_reference IS NOT NULL";
            index("external_reference", condition, reference.as_str())
        });
        let customer = customer_id.as_ref();
        let customer =
            customer.map(|customer| index("customer_id", "customer_id <> ''", customer.as_str()));
        let owner = owner.as_ref().map(|owner| index("owner", "owner <> ''", owner.as_str()));
        let (since, before) = (listing.since.as_uuid(), listing.before.as_uuid());
        Self { index: reference.or(customer).or(owner), since, before, sort: listing.sort }
    }
}

/// The row comparison makes the planner use the index on the column and the id. For
/// `owner = $1 ... ORDER BY id` it may scan the primary key and filter out the orders of all other
/// owners.
impl QueryFragment<Pg> for Walk<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> diesel::QueryResult<()> {
        let Self { index, since, before, sort } = self;
        let direction = match sort {
            Sort::NewestFirst => " DESC",
            Sort::OldestFirst => "",
        };
        if let Some(Index { column, condition, value }) = index {
            push!(out
                "SELECT * FROM sales.orders WHERE " (condition)
                " AND (" (column) ", id) >= (" {Text = value} ", " {SqlUuid = since} ")"
                " AND (" (column) ", id) < (" {Text = value} ", " {SqlUuid = before} ")"
                " ORDER BY " (column) (direction) ", id" (direction)
            );
        } else {
            push!(out
                "SELECT * FROM sales.orders WHERE id >= " {SqlUuid = since} " AND id < " {SqlUuid = before}
                " ORDER BY id" (direction)
            );
        }
        let window = &WINDOW;
        push!(out " LIMIT " {BigInt = window});
        Ok(())
    }
}
