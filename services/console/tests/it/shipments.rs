//! Shipments: the next steps, and those that Kafka refused.

use domain::OrderId;
use reqwest::StatusCode;
use test_kit::{World, eventually};

use crate::browser::Browser;

const REFUSED: &str = "SELECT count(*) FROM delivery.shipments WHERE refused_step_at IS NOT NULL";

#[tokio::test(flavor = "multi_thread")]
async fn next_steps_are_listed_and_refused_ones_are_redriven_after_a_confirmation() {
    let world = World::create().await;
    let [due, later, refused, other] = [(); 4].map(|()| OrderId::generate());
    let insert = format!(
        "INSERT INTO delivery.shipments (order_id, next_step_at, refused_step_at, refusal, correlation_id, traceparent) VALUES
         ('{due}', now() - interval '5 minutes', NULL, NULL, '<b>checkout', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
         ('{later}', now() + interval '1 hour', NULL, NULL, NULL, NULL),
         ('{refused}', NULL, now(), 'too <b>large</b>', NULL, NULL),
         ('{other}', NULL, now(), 'too large', NULL, NULL)"
    );
    world.database.execute(&insert).await;
    let browser = Browser::signed_in(&world).await;
    let page = browser.get("/shipments").await.body;
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text}: {page}"));
    assert!(place(&due.to_string()) < place(&later.to_string()), "{page}");
    assert!(page.contains("overdue by 5 min") && page.contains("due in 60 min"), "{page}");
    assert!(page.contains("too &lt;b&gt;large") && !page.contains("<b>large"), "{page}");

    // The page of an order needs the order.
    let orders = "
        INSERT INTO sales.orders (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at,
            currency)
        SELECT order_id, 'shop', order_id::text, sha256('x'), 'c', 1, 'Pending Shipment', now(), 'EUR'
        FROM delivery.shipments;
        INSERT INTO sales.order_items (order_id, line_no, product_id, quantity, unit_price)
        SELECT order_id, 1, 'widget', 1, 1 FROM delivery.shipments;
        INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
        SELECT order_id, 1, 'Pending Shipment', gen_random_uuid(), now() FROM delivery.shipments";
    world.database.execute(orders).await;
    let order = browser.get(&format!("/orders/{due}")).await.body;
    assert!(order.contains("4bf92f3577b34da6a3ce929d0e0e4736"), "{order}");
    assert!(order.contains("&lt;b&gt;checkout") && !order.contains("<b>checkout"), "{order}");
    let form = browser.get(&format!("/orders/{refused}")).await;
    assert!(form.body.contains("too &lt;b&gt;large"), "{}", form.body);
    let page = browser.confirm(&form).await;
    assert!(page.body.contains("<strong>1 step</strong> will be due"), "{}", page.body);
    let action = browser.confirm(&page).await;
    eventually("it is redriven", async || {
        let page = browser.get(action.location()).await.body;
        page.contains("1 steps were redriven").then_some(())
    })
    .await;
    assert_eq!(world.database.count(REFUSED).await, 1);
    let page = browser.confirm(&browser.get("/shipments").await).await;
    assert!(page.body.contains("<strong>1 step</strong> will be due"), "{}", page.body);
    browser.confirm(&page).await;
    world.database.until_count("all are redriven", REFUSED, 0).await;
    let audit = browser.get("/audit?action=redrive+shipments").await.body;
    assert!(audit.contains(&refused.to_string()), "{audit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_steps_that_is_not_ours_or_not_clear_changes_nothing() {
    let world = World::create().await;
    let browser = Browser::signed_in(&world).await;
    let token = browser.get("/shipments").await.field("formToken");
    for (token, scope, order, status) in [
        ("guessed", "all", "", StatusCode::FORBIDDEN),
        (&token, "", "", StatusCode::BAD_REQUEST),
        (&token, "one", "", StatusCode::BAD_REQUEST),
        (&token, "all", "01990000-0000-7000-8000-000000000001", StatusCode::BAD_REQUEST),
    ] {
        let form = [("formToken", token), ("scope", scope), ("order", order)];
        assert_eq!(browser.post("/shipments", &form).await.status, status, "{scope} {order}");
    }
}
