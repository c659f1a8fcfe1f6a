use diesel::debug_query;
use diesel::pg::Pg;
use domain::{OrderStatus, Owner};
use test_kit::World;

// No glob import: the query builder's traits have methods with the same names as the test's
// database.
use super::{Listed, ListedOrder, Listing, Sort, Walk, list};
use crate::pool::{BY_INDEX, IN_ORDER};
use crate::{Connection, Database};

/// 60,000 orders of three owners and 600 customers, over the last week, with their history. Every
/// 100th has one of 300 external references.
const MANY_ORDERS: &str = "INSERT INTO sales.orders
        (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at, external_reference)
    SELECT uuidv7(make_interval(secs => n - 60000)), 'owner-' || n % 3, n, sha256('x'), 'customer-' || n % 600, 1,
        CASE WHEN n > 59990 THEN 'Pending Shipment' ELSE 'Delivered' END, now(),
        CASE WHEN n % 100 = 0 THEN 'reference-' || n / 100 % 300 END
    FROM generate_series(1, 60000) AS n;
    INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
    SELECT id, 1, 'Pending Shipment', gen_random_uuid(), created_at FROM sales.orders;
    ANALYZE sales.orders, sales.order_status_history";

fn everything() -> Listing {
    Listing::newest_first(None, 10)
}

fn of_owner(owner: &str) -> Listing {
    Listing { owner: Some(Owner::try_from(owner.to_owned()).unwrap()), ..everything() }
}

fn of_customer(customer: &str) -> Listing {
    Listing { customer_id: Some(customer.to_owned().try_into().unwrap()), ..of_owner("owner-1") }
}

fn of_reference(reference: &str) -> Listing {
    let external_reference = Some(reference.to_owned().try_into().unwrap());
    Listing { external_reference, ..of_customer("customer-1") }
}

async fn plan(world: &World, listing: &Listing) -> String {
    let listed = Listed {
        walk: &Walk::of(listing),
        owner: &None,
        customer: &None,
        statuses: &None,
        limit: &21,
        offset: &0,
    };
    let query = debug_query::<Pg, _>(&listed).to_string();
    world.database.generic_plan_with(&[IN_ORDER], &query).await
}

/// All orders of a listing, and the number of its pages.
async fn all(connection: &mut Connection, mut listing: Listing) -> (Vec<ListedOrder>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = list(connection, &listing).await.unwrap();
        found.extend(page.orders);
        pages += 1;
        let Some(next) = page.next else { return (found, pages) };
        listing = listing.after(next);
    }
}

#[tokio::test]
async fn every_listing_is_an_index_scan_without_a_sort() {
    let world = World::create().await;
    world.database.execute(MANY_ORDERS).await;
    for (index, listing) in [
        ("orders_by_reference", of_reference("reference-1")),
        ("orders_by_customer", of_customer("customer-1")),
        ("orders_by_owner", of_owner("owner-1")),
        ("orders_pkey", everything()),
    ] {
        for (sort, scan) in
            [(Sort::NewestFirst, "Index Scan Backward"), (Sort::OldestFirst, "Index Scan")]
        {
            let plan = plan(&world, &Listing { sort, ..listing.clone() }).await;
            assert!(plan.contains(&format!("{scan} using {index} ")), "{plan}");
            let history = "Index Scan Backward using order_status_history_pkey";
            assert!(plan.contains(history), "{plan}");
            assert!(!plan.contains("Seq Scan") && !plan.contains("Sort"), "{plan}");
        }
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
    let mut connection = database.connection().await.unwrap();
    for sort in [Sort::NewestFirst, Sort::OldestFirst] {
        let statuses = vec![OrderStatus::Shipped, OrderStatus::Cancelled];
        let listing = Listing { statuses, sort, ..of_owner("owner-0") };
        let (found, pages) = all(&mut connection, listing).await;
        assert_eq!(found.len(), 1);
        // 20,000 orders of this owner at 2,000 per page, and an empty last page.
        assert_eq!(pages, 11);
    }
}

#[tokio::test]
async fn both_orders_of_a_listing_contain_the_same_orders() {
    let world = World::create().await;
    world.database.execute(MANY_ORDERS).await;
    let database = Database::new("test", &world.config());
    let mut connection = database.connection().await.unwrap();
    let any_customer = |reference| Listing { customer_id: None, ..of_reference(reference) };
    for (listing, count) in [
        (Listing { limit: 100, ..of_customer("customer-1") }, 100),
        // The orders 8800 and 38800.
        (any_customer("reference-88"), 2),
        (Listing { owner: None, ..any_customer("reference-88") }, 2),
        (any_customer("reference-89"), 0),
        (of_reference("reference-88"), 0),
    ] {
        let oldest = Listing { sort: Sort::OldestFirst, ..listing.clone() };
        let (newest, _) = all(&mut connection, listing).await;
        let (mut oldest, _) = all(&mut connection, oldest).await;
        assert_eq!(newest.len(), count);
        assert!(oldest.is_sorted_by_key(|order| order.id));
        oldest.reverse();
        assert_eq!(newest, oldest);
    }
}
