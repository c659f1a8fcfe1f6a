//! Pages of orders, newest or oldest first.
//!
//! A page is read along one index: by external reference, by customer, by owner, or the primary
//! key. The other filters are applied to the rows of that scan. A page reads at most [`WINDOW`]
//! orders and returns the position at which the next page starts. So a rare status costs no more
//! per page than a common one, and no index has to contain the status.

#[cfg(test)]
mod tests;
mod walk;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{Array, BigInt, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{Currency, CustomerId, ExternalReference, Money, OrderId, OrderStatus, Owner};
use rust_decimal::Decimal;
use uuid::Uuid;

use self::walk::{WINDOW, Walk};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// Selects the orders to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Only orders of this owner.
    pub owner: Option<Owner>,
    /// Only orders for this customer.
    pub customer_id: Option<CustomerId>,
    /// Only orders with this external reference.
    pub external_reference: Option<ExternalReference>,
    /// Only orders with one of these statuses; with any status if empty.
    pub statuses: Vec<OrderStatus>,
    /// Only this id and newer ids.
    pub since: OrderId,
    /// Only ids that are older than this one.
    pub before: OrderId,
    /// The order of the list.
    pub sort: Sort,
    /// Maximum number of orders in a page.
    pub limit: u16,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// By descending id.
    NewestFirst,
    /// By ascending id.
    OldestFirst,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The orders. A page can have fewer than `limit` orders, or none, although more orders follow.
    pub orders: Vec<ListedOrder>,
    /// The position of the next page, for [`Listing::after`]; `None` on the last page.
    pub next: Option<OrderId>,
}

/// An order in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    /// The order's id.
    pub id: OrderId,
    /// The owner.
    pub owner: String,
    /// The id of the customer.
    pub customer_id: String,
    /// The shop's own number of the order.
    pub external_reference: Option<String>,
    /// The sum of all lines.
    pub total: Money,
    /// The currency of all amounts.
    pub currency: Currency,
    /// The current status.
    pub status: OrderStatus,
    /// The time at which the API accepted the order.
    pub created_at: DateTime<Utc>,
    /// The time of the last change, by the clock of the service that reported it.
    pub updated_at: DateTime<Utc>,
}

#[derive(Queryable)]
struct ListedRow {
    id: Uuid,
    owner: String,
    customer_id: String,
    external_reference: Option<String>,
    total_amount: Decimal,
    currency: String,
    status: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

statement! {
    /// Reads the history of the orders of the page only, not of those that the filters discard.
    varying struct Listed {
        walk: Walk<'a>, owner: Option<String>, customer: Option<String>, statuses: Option<Vec<String>>, limit: i64, offset: i64
    } -> (SqlUuid, Text, Text, Nullable<Text>, Numeric, Text, Text, Timestamptz, Timestamptz);
    "SELECT id, owner, customer_id, external_reference, total_amount, currency, status, created_at,
            COALESCE((
                SELECT occurred_at FROM sales.order_status_history h
                WHERE h.order_id = page.id ORDER BY sequence DESC LIMIT 1
            ), created_at)
     FROM (
        SELECT * FROM (" {walk} ") AS walked
        WHERE owner = COALESCE(" {Nullable<Text> = owner} ", owner)
            AND customer_id = COALESCE(" {Nullable<Text> = customer} ", customer_id)
            AND status = ANY (COALESCE(" {Nullable<Array<Text>> = statuses} ", ARRAY[status]))
        LIMIT " {BigInt = limit} " OFFSET " {BigInt = offset} "
     ) AS page"
}

/// Reads one page of a listing. The orders and `next` come from one snapshot.
pub async fn list(connection: &mut Connection, listing: &Listing) -> Result<Page, StoreError> {
    connection
        .build_transaction()
        .read_only()
        .repeatable_read()
        .run(async |connection| list_in_txn(connection, listing).await)
        .await
}

async fn list_in_txn(connection: &mut Connection, listing: &Listing) -> Result<Page, StoreError> {
    let limit = usize::from(listing.limit);
    // One row more than the limit shows whether there is a next page.
    let mut rows = read(connection, listing, i64::from(listing.limit) + 1, 0).await?;
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(|row| OrderId::from(row.id))
    } else if listing.is_filtered() {
        // Matching orders may follow the last order in the window.
        let mut last = read(connection, &listing.unfiltered(), 1, WINDOW - 1).await?;
        last.pop().map(|row| OrderId::from(row.id))
    } else {
        None
    };
    let orders = rows.into_iter().map(listed).collect::<Result<_, _>>()?;
    Ok(Page { orders, next })
}

impl Listing {
    /// All orders of an owner, or of everybody, newest first.
    pub const fn newest_first(owner: Option<Owner>, limit: u16) -> Self {
        Self {
            owner,
            customer_id: None,
            external_reference: None,
            statuses: Vec::new(),
            since: OrderId::MIN,
            before: OrderId::MAX,
            sort: Sort::NewestFirst,
            limit,
        }
    }

    /// The rest of the listing after the page that returned this position.
    #[must_use]
    pub fn after(self, next: OrderId) -> Self {
        match self.sort {
            Sort::NewestFirst => Self { before: next, ..self },
            Sort::OldestFirst => Self { since: next.successor(), ..self },
        }
    }

    /// Whether a filter can discard rows of the index scan.
    fn is_filtered(&self) -> bool {
        *self != self.unfiltered()
    }

    /// The same index scan without filters.
    fn unfiltered(&self) -> Self {
        let mut scan = Self { statuses: Vec::new(), ..self.clone() };
        if scan.external_reference.is_some() {
            scan.customer_id = None;
        }
        if scan.external_reference.is_some() || scan.customer_id.is_some() {
            scan.owner = None;
        }
        scan
    }
}

async fn read(
    connection: &mut Connection,
    listing: &Listing,
    limit: i64,
    offset: i64,
) -> Result<Vec<ListedRow>, StoreError> {
    let statuses = listing.statuses.iter().map(OrderStatus::to_string).collect::<Vec<_>>();
    let listed = Listed {
        walk: &Walk::of(listing),
        owner: &listing.owner.as_ref().map(Owner::to_string),
        customer: &listing.customer_id.as_ref().map(CustomerId::to_string),
        statuses: &(!statuses.is_empty()).then_some(statuses),
        limit: &limit,
        offset: &offset,
    };
    Ok(listed.load(connection).await?)
}

fn listed(row: ListedRow) -> Result<ListedOrder, StoreError> {
    Ok(ListedOrder {
        id: row.id.into(),
        owner: row.owner,
        customer_id: row.customer_id,
        external_reference: row.external_reference,
        total: row.total_amount.try_into().map_err(StoreError::corrupt("total"))?,
        currency: row.currency.parse().map_err(StoreError::corrupt("currency"))?,
        status: row.status.parse().map_err(StoreError::corrupt("status"))?,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
