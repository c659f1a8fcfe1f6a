//! Pages of orders, newest first.
//!
//! A page is read along one index: by owner, by customer, or the primary key. The other filters are
//! applied to the rows of that scan. A page reads at most [`WINDOW`] orders and returns the
//! position at which the next page starts. So a rare status costs no more per page than a common
//! one, and no index has to contain the status.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{CustomerId, Money, OrderId, OrderStatus, Owner};
use uuid::Uuid;

use super::read::{OrderColumns, OrderRow};
use crate::statement::statement;
use crate::{Connection, StoreError};

/// Maximum number of orders that one page reads.
const WINDOW: i64 = 2_000;

/// Selects the orders to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Only orders of this owner.
    pub owner: Option<Owner>,
    /// Only orders for this customer.
    pub customer_id: Option<CustomerId>,
    /// Only orders with this status.
    pub status: Option<OrderStatus>,
    /// Only this id and newer ids.
    pub since: OrderId,
    /// Only ids that are older than this one.
    pub before: OrderId,
    /// Maximum number of orders in a page.
    pub limit: u16,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The orders, newest first. A page can have fewer than `limit` orders, or none, although more
    /// orders follow.
    pub orders: Vec<ListedOrder>,
    /// The value of `before` for the next page; `None` on the last page.
    pub next: Option<OrderId>,
}

/// An order in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    /// The order's id.
    pub id: OrderId,
    /// The id of the customer.
    pub customer_id: String,
    /// The sum of all lines.
    pub total: Money,
    /// The current status.
    pub status: OrderStatus,
    /// The time at which the API accepted the order.
    pub created_at: DateTime<Utc>,
}

statement! {
    /// The row comparison makes the planner use the index on owner and id. For
    /// `owner = $1 ... ORDER BY id` it may scan the primary key and filter out the orders of all
    /// other owners. `owner <> ''` matches the condition of the partial index, which only lists
    /// use.
    struct ByOwner { owner: str, since: Uuid, before: Uuid, window: i64, status: Option<String>, limit: i64, offset: i64 } -> OrderColumns;
    "SELECT id, customer_id, total_amount, status, created_at FROM (
        SELECT * FROM sales.orders
        WHERE owner <> '' AND (owner, id) >= (" {Text = owner} ", " {SqlUuid = since} ") AND (owner, id) < (" {Text = owner} ", " {SqlUuid = before} ")
        ORDER BY owner DESC, id DESC LIMIT " {BigInt = window} "
     ) AS walked
     WHERE status = COALESCE(" {Nullable<Text> = status} ", status) LIMIT " {BigInt = limit} " OFFSET " {BigInt = offset}
}

statement! {
    /// The orders of a customer usually have one owner, so the filter on the owner discards few
    /// rows.
    struct ByCustomer {
        customer: str, since: Uuid, before: Uuid, window: i64, owner: Option<String>, status: Option<String>, limit: i64, offset: i64
    } -> OrderColumns;
    "SELECT id, customer_id, total_amount, status, created_at FROM (
        SELECT * FROM sales.orders
        WHERE customer_id <> '' AND (customer_id, id) >= (" {Text = customer} ", " {SqlUuid = since} ")
            AND (customer_id, id) < (" {Text = customer} ", " {SqlUuid = before} ")
        ORDER BY customer_id DESC, id DESC LIMIT " {BigInt = window} "
     ) AS walked
     WHERE owner = COALESCE(" {Nullable<Text> = owner} ", owner)
         AND status = COALESCE(" {Nullable<Text> = status} ", status) LIMIT " {BigInt = limit} " OFFSET " {BigInt = offset}
}

statement! {
    struct All { since: Uuid, before: Uuid, window: i64, status: Option<String>, limit: i64, offset: i64 } -> OrderColumns;
    "SELECT id, customer_id, total_amount, status, created_at FROM (
        SELECT * FROM sales.orders WHERE id >= " {SqlUuid = since} " AND id < " {SqlUuid = before} "
        ORDER BY id DESC LIMIT " {BigInt = window} "
     ) AS walked
     WHERE status = COALESCE(" {Nullable<Text> = status} ", status) LIMIT " {BigInt = limit} " OFFSET " {BigInt = offset}
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
    let mut rows = walk(connection, listing, i64::from(listing.limit) + 1, 0).await?;
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(|row| OrderId::from(row.id))
    } else if listing.is_filtered() {
        // Matching orders may follow the last order in the window.
        let mut last = walk(connection, &listing.unfiltered(), 1, WINDOW - 1).await?;
        last.pop().map(|row| OrderId::from(row.id))
    } else {
        None
    };
    let orders = rows.into_iter().map(listed).collect::<Result<_, _>>()?;
    Ok(Page { orders, next })
}

impl Listing {
    /// Whether a filter can discard rows of the index scan.
    fn is_filtered(&self) -> bool {
        *self != self.unfiltered()
    }

    /// The same index scan without filters.
    fn unfiltered(&self) -> Self {
        let owner = if self.customer_id.is_some() { None } else { self.owner.clone() };
        Self { owner, status: None, ..self.clone() }
    }
}

async fn walk(
    connection: &mut Connection,
    listing: &Listing,
    limit: i64,
    offset: i64,
) -> Result<Vec<OrderRow>, StoreError> {
    let (since, before) = (listing.since.as_uuid(), listing.before.as_uuid());
    let status = listing.status.map(|status| status.to_string());
    let (since, before, status) = (&since, &before, &status);
    let (window, limit, offset) = (&WINDOW, &limit, &offset);
    let rows = match (&listing.customer_id, &listing.owner) {
        (Some(customer), owner) => {
            let (customer, owner) = (customer.as_str(), &owner.as_ref().map(Owner::to_string));
            ByCustomer { customer, since, before, window, owner, status, limit, offset }
                .load(connection)
                .await
        }
        (None, Some(owner)) => {
            let owner = owner.as_str();
            ByOwner { owner, since, before, window, status, limit, offset }.load(connection).await
        }
        (None, None) => All { since, before, window, status, limit, offset }.load(connection).await,
    };
    Ok(rows?)
}

fn listed(row: OrderRow) -> Result<ListedOrder, StoreError> {
    Ok(ListedOrder {
        id: row.id.into(),
        customer_id: row.customer_id,
        total: row.total_amount.try_into().map_err(StoreError::corrupt("total"))?,
        status: row.status.parse().map_err(StoreError::corrupt("status"))?,
        created_at: row.created_at,
    })
}

#[cfg(test)]
mod tests {
    use diesel::debug_query;
    use diesel::pg::Pg;
    use diesel::query_builder::QueryFragment;
    use domain::{OrderId, OrderStatus, Owner};
    use test_kit::World;
    use uuid::Uuid;

    // No glob import: the query builder's traits have methods with the same names as the test's
    // database.
    use super::{All, ByCustomer, ByOwner, Listing, WINDOW, list};
    use crate::Database;
    use crate::pool::{BY_INDEX, IN_ORDER};

    /// 60,000 orders of three owners and 600 customers, over the last week.
    const MANY_ORDERS: &str = "INSERT INTO sales.orders
            (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at)
        SELECT uuidv7(make_interval(secs => n - 60000)), 'owner-' || n % 3, n, sha256('x'), 'customer-' || n % 600, 1,
            CASE WHEN n > 59990 THEN 'Pending Shipment' ELSE 'Delivered' END, now()
        FROM generate_series(1, 60000) AS n;
        ANALYZE sales.orders";

    async fn plan(world: &World, query: &impl QueryFragment<Pg>) -> String {
        let query = debug_query::<Pg, _>(query).to_string();
        world.database.generic_plan_with(&[IN_ORDER], &query).await
    }

    #[tokio::test]
    async fn every_listing_is_an_index_scan_without_a_sort() {
        let world = World::create().await;
        world.database.execute(MANY_ORDERS).await;
        let (since, before) = (&Uuid::nil(), &Uuid::max());
        let (window, limit, offset, status, owner) =
            (&WINDOW, &21, &0, &Some("Shipped".to_owned()), &Some("owner-1".to_owned()));
        let customer = "customer-1";
        for (index, plan) in [
            ("orders_by_owner", {
                let owner = "owner-1";
                plan(&world, &ByOwner { owner, since, before, window, status, limit, offset }).await
            }),
            (
                "orders_by_customer",
                plan(
                    &world,
                    &ByCustomer { customer, since, before, window, owner, status, limit, offset },
                )
                .await,
            ),
            (
                "orders_pkey",
                plan(&world, &All { since, before, window, status, limit, offset }).await,
            ),
        ] {
            assert!(plan.contains(&format!("Index Scan Backward using {index}")), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        }
    }

    #[tokio::test]
    async fn foreign_key_checks_use_the_primary_key_with_a_plan_for_an_empty_table() {
        let world = World::create().await;
        // The query of a foreign key check, with the settings of the connections that write.
        let check = "SELECT 1 FROM ONLY sales.orders WHERE id = $1 FOR KEY SHARE";
        for now in [
            "VACUUM ANALYZE sales.orders",
            MANY_ORDERS,
            "TRUNCATE sales.orders CASCADE",
            "VACUUM sales.orders",
        ] {
            world.database.execute(now).await;
            let plan = world.database.generic_plan_with(&BY_INDEX, check).await;
            assert!(plan.contains("using orders_pkey"), "{now}: {plan}");
        }
    }

    #[tokio::test]
    async fn a_rare_status_is_found_page_by_page() {
        let world = World::create().await;
        world.database.execute(MANY_ORDERS).await;
        world
            .database
            .execute("UPDATE sales.orders SET status = 'Shipped' WHERE idempotency_key = '30000'")
            .await;
        let database = Database::new("test", &world.config());
        let (mut found, mut pages) = (Vec::new(), 0);
        let mut listing = Listing {
            owner: Some(Owner::try_from("owner-0".to_owned()).unwrap()),
            customer_id: None,
            status: Some(OrderStatus::Shipped),
            since: OrderId::MIN,
            before: OrderId::MAX,
            limit: 10,
        };
        let mut connection = database.connection().await.unwrap();
        loop {
            let page = list(&mut connection, &listing).await.unwrap();
            found.extend(page.orders);
            pages += 1;
            let Some(next) = page.next else { break };
            listing.before = next;
        }
        assert_eq!(found.len(), 1);
        // 20,000 orders of this owner at 2,000 per page, and an empty last page.
        assert_eq!(pages, 11);
    }
}
