use std::fmt::Write;

use domain::OrderId;
use reqwest::StatusCode;
use test_kit::{World, outbox_event, put_into_dead_letters};

use crate::browser::Browser;

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_database_is_reported_by_its_sections_only() {
    let mut world = World::create().await;
    world.set("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    world.set("DATABASE_CONNECT_TIMEOUT", 200);
    let browser = Browser::signed_in(&world).await;
    let page = browser.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.body.matches("Not available: ").count(), 2, "{}", page.body);
    assert!(page.body.contains(&world.topics.status_group), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_broker_is_reported_by_its_section_only() {
    let mut world = World::create().await;
    world.set("KAFKA_BROKERS", "127.0.0.1:1");
    let browser = Browser::signed_in(&world).await;
    let page = browser.get("/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.body.matches("Not available: ").count(), 1, "{}", page.body);
    assert!(page.body.contains("events waiting"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_found_by_each_field_and_data_of_customers_is_escaped() {
    let world = World::create().await;
    let script = "<script>alert(1)</script>";
    let mut insert = String::new();
    let order = OrderId::generate();
    for (number, (id, customer)) in
        [(order, script), (OrderId::generate(), "customer-2")].into_iter().enumerate()
    {
        write!(
            insert,
            "INSERT INTO sales.orders (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status,
                 created_at, external_reference, currency)
             VALUES ('{id}', 'shop-{number}', '{number}', sha256('x'), '{customer}', 29.90, 'Pending Shipment', now(),
                 'reference-{number}', 'EUR');
             INSERT INTO sales.order_items (order_id, line_no, product_id, quantity, unit_price)
             VALUES ('{id}', 1, '\"><img src=x>', 1, 29.90);
             INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
             VALUES ('{id}', 1, 'Pending Shipment', gen_random_uuid(), now());"
        )
        .unwrap();
    }
    world.database.execute(&insert).await;
    let browser = Browser::signed_in(&world).await;
    let found = async |query: &str| {
        let page = browser.get(&format!("/orders?{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{query}");
        assert!(!page.body.contains(script), "{query}");
        page.body.matches("class=\"id\"").count()
    };
    for query in [
        "owner=shop-0",
        "reference=reference-1",
        "customer=customer-2",
        "customer=%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    ] {
        assert_eq!(found(query).await, 1, "{query}");
    }
    assert_eq!(found("status=Pending+Shipment").await, 2);
    assert_eq!(found("status=Delivered").await, 0);

    let to = browser.get(&format!("/orders?id={order}")).await;
    assert_eq!(to.location(), format!("/orders/{order}"));
    let page = browser.get(to.location()).await.body;
    assert!(page.contains("&lt;script&gt;") && page.contains("29.90 EUR"), "{page}");
    assert!(!page.contains("<img"), "{page}");
    for (query, words) in [("id=17", "id: "), ("status=Lost", "status: "), ("after=x", "after: ")] {
        let page = browser.get(&format!("/orders?{query}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
        assert!(page.body.contains(words), "{query}: {}", page.body);
    }
    let missing = browser.get(&format!("/orders/{}", OrderId::generate())).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.body.contains("There is no order with this id."), "{}", missing.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_contains_a_script_or_allows_a_frame_or_another_host() {
    let world = World::create().await;
    let event =
        outbox_event(&world, OrderId::generate(), r#"{"a":"</pre><script>alert(1)</script>"}"#);
    put_into_dead_letters(&world, &[event], "too <b>large</b>").await;
    let browser = Browser::signed_in(&world).await;
    for path in
        ["/", "/orders", "/dead-letters", "/dead-letters/1", "/topics", "/audit", "/sign-in"]
    {
        let page = browser.get(path).await;
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(page.headers["x-content-type-options"], "nosniff");
        assert_eq!(page.headers["cache-control"], "no-store");
        for outside in ["http://", "https://", "<script>", "<style", "style=\"", "<b>large"] {
            assert!(!page.body.contains(outside), "{path} has {outside}: {}", page.body);
        }
    }
    for asset in ["console.css", "console.js", "icon.svg"] {
        assert_eq!(browser.get(&format!("/assets/{asset}")).await.status, StatusCode::OK);
    }
}
