//! Pages of orders, newest first.
//!
//! An index gives the order of a page: by owner, by customer, or the primary key. What else is asked for is checked
//! on the way along it. A page looks at a bounded number of orders and says where the next one goes on, so that a
//! rare status costs no more than a common one, and no index has to follow an order's status.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Numeric, Text, Timestamptz, Uuid as SqlUuid};
use diesel_async::RunQueryDsl;
use domain::{CustomerId, Money, OrderId, OrderStatus, Owner};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::statement::statement;
use crate::{Connection, StoreError};

/// The most orders that one page looks at.
const WINDOW: i64 = 2_000;

/// Which orders are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Only those of this owner.
    pub owner: Option<Owner>,
    /// Only those for this customer.
    pub customer_id: Option<CustomerId>,
    /// Only those with this status.
    pub status: Option<OrderStatus>,
    /// Only this id and newer ones.
    pub since: OrderId,
    /// Only older ids than this.
    pub before: OrderId,
    /// The most orders of a page.
    pub limit: u16,
}

/// A part of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Newest first. It can be short of the limit, or empty, though there are more.
    pub orders: Vec<ListedOrder>,
    /// Where the next page goes on: what its `before` is. `None` at the end.
    pub next: Option<OrderId>,
}

/// An order, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOrder {
    /// Its id.
    pub id: OrderId,
    /// The id of the customer.
    pub customer_id: String,
    /// The sum of all lines.
    pub total: Money,
    /// The current status.
    pub status: OrderStatus,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
}

type Row = (Uuid, String, Decimal, String, DateTime<Utc>);
type RowTypes = (SqlUuid, Text, Numeric, Text, Timestamptz);

statement! {
    /// Rows are compared as wholes: to `owner = $1 ... ORDER BY id` the planner may answer with a walk along the
    /// primary key, which passes over everybody else's orders. That there is an owner is said for the index, which is for
    /// lists alone.
    struct ByOwner { owner: str, since: Uuid, before: Uuid, window: i64, status: Option<String>, limit: i64, offset: i64 } -> RowTypes;
    "SELECT id, customer_id, total_amount, status, created_at FROM (
        SELECT * FROM sales.orders
        WHERE owner <> '' AND (owner, id) >= (" {Text = owner} ", " {SqlUuid = since} ") AND (owner, id) < (" {Text = owner} ", " {SqlUuid = before} ")
        ORDER BY owner DESC, id DESC LIMIT " {BigInt = window} "
     ) AS walked
     WHERE status = COALESCE(" {Nullable<Text> = status} ", status) LIMIT " {BigInt = limit} " OFFSET " {BigInt = offset}
}

statement! {
    /// A customer's orders have one owner, as a rule: filtering by it passes over nothing.
    struct ByCustomer {
        customer: str, since: Uuid, before: Uuid, window: i64, owner: Option<String>, status: Option<String>, limit: i64, offset: i64
    } -> RowTypes;
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
    struct All { since: Uuid, before: Uuid, window: i64, status: Option<String>, limit: i64, offset: i64 } -> RowTypes;
    "SELECT id, customer_id, total_amount, status, created_at FROM (
        SELECT * FROM sales.orders WHERE id >= " {SqlUuid = since} " AND id < " {SqlUuid = before} "
        ORDER BY id DESC LIMIT " {BigInt = window} "
     ) AS walked
     WHERE status = COALESCE(" {Nullable<Text> = status} ", status) LIMIT " {BigInt = limit} " OFFSET " {BigInt = offset}
}

/// One page of a listing. Its orders and its end are of one moment, whatever arrives meanwhile.
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
    // One more than asked for tells whether there is a next page.
    let mut rows = walk(connection, listing, i64::from(listing.limit) + 1, 0).await?;
    let next = if rows.len() > limit {
        rows.truncate(limit);
        rows.last().map(|row| OrderId::from(row.0))
    } else if listing.is_filtered() {
        // There may be more behind the last order that was looked at.
        let mut last = walk(connection, &listing.unfiltered(), 1, WINDOW - 1).await?;
        last.pop().map(|row| OrderId::from(row.0))
    } else {
        None
    };
    let orders = rows.into_iter().map(listed).collect::<Result<_, _>>()?;
    Ok(Page { orders, next })
}

impl Listing {
    /// Whether orders are passed over on the way along the index.
    fn is_filtered(&self) -> bool {
        *self != self.unfiltered()
    }

    /// The same way along the index, with nothing passed over.
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
) -> Result<Vec<Row>, StoreError> {
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

fn listed((id, customer_id, total, status, created_at): Row) -> Result<ListedOrder, StoreError> {
    Ok(ListedOrder {
        id: id.into(),
        customer_id,
        total: total.try_into().map_err(StoreError::corrupt("total"))?,
        status: status.parse().map_err(StoreError::corrupt("status"))?,
        created_at,
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

    // Not all of it: the traits of the query builder have methods of the same names as the test's database.
    use super::{All, ByCustomer, ByOwner, Listing, WINDOW, list};
    use crate::Database;
    use crate::pool::BY_INDEX;

    /// 60,000 orders of three owners and 600 customers, over the last week.
    const MANY_ORDERS: &str = "INSERT INTO sales.orders
            (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at)
        SELECT uuidv7(make_interval(secs => n - 60000)), 'owner-' || n % 3, n, sha256('x'), 'customer-' || n % 600, 1,
            CASE WHEN n > 59990 THEN 'Pending Shipment' ELSE 'Delivered' END, now()
        FROM generate_series(1, 60000) AS n;
        ANALYZE sales.orders";

    async fn plan(world: &World, query: &impl QueryFragment<Pg>) -> String {
        world.database.generic_plan(&debug_query::<Pg, _>(query).to_string()).await
    }

    #[tokio::test]
    async fn every_listing_walks_along_its_index_without_a_scan_or_a_sort() {
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
    async fn the_indexes_of_lists_serve_nobody_who_has_an_id_however_empty_the_table_was() {
        let world = World::create().await;
        // As a foreign key's check asks, on the connections that write.
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
    async fn a_rare_status_is_found_without_looking_at_everything_at_once() {
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
        // 20,000 orders of this owner, 2,000 a page, and one page to see that nothing is left.
        assert_eq!(pages, 11);
    }
}
