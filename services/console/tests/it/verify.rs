//! Checks and repairs as actions.

use domain::OrderId;
use reqwest::StatusCode;
use test_kit::{World, eventually};

use crate::browser::{Browser, Page};

/// Sends a form of the page, and returns the page of its action as soon as it has an outcome.
async fn run(browser: &Browser, fields: &[(&str, &str)]) -> Page {
    let page = browser.get("/verify").await;
    let (token, request) = (page.field("formToken"), page.field("request"));
    let own = [("formToken", token.as_str()), ("request", request.as_str())];
    let started = browser.post("/verify", &[&own[..], fields].concat()).await;
    assert_eq!(started.status, StatusCode::SEE_OTHER, "{}", started.body);
    finished(browser, started.location()).await
}

async fn finished(browser: &Browser, action: &str) -> Page {
    eventually("it has ended", async || {
        let page = browser.get(action).await;
        page.body.contains("<dt>Ended</dt>").then_some(page)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_reports_violations_and_a_repair_publishes_the_counted_events() {
    let world = World::create().await;
    let order = OrderId::generate();
    // Its event is neither in the topic nor in the outbox.
    let lost = format!(
        "INSERT INTO sales.orders (id, owner, idempotency_key, fingerprint, customer_id, total_amount, status, created_at, currency)
         VALUES ('{order}', 'shop', '1', sha256('x'), '<b>c', 1, 'Pending Shipment', now(), 'EUR');
         INSERT INTO sales.order_items (order_id, line_no, product_id, quantity, unit_price) VALUES ('{order}', 1, 'widget', 1, 1);
         INSERT INTO sales.order_status_history (order_id, sequence, status, event_id, occurred_at)
         VALUES ('{order}', 1, 'Pending Shipment', gen_random_uuid(), now())"
    );
    world.database.execute(&lost).await;
    let browser = Browser::signed_in(&world).await;
    let id = order.to_string();
    let page = run(&browser, &[("what", "verify"), ("order", &id)]).await.body;
    assert!(page.contains("3 violations") && page.contains("each is in its topic"), "{page}");
    assert!(page.contains(&format!("<a href=\"/orders/{id}\">")), "{page}");

    let plan = run(&browser, &[("what", "plan"), ("order", &id)]).await;
    assert!(plan.body.contains("1 events would be published again"), "{}", plan.body);
    assert!(plan.body.contains("Publish 1 event again"), "{}", plan.body);
    let outbox = "SELECT count(*) FROM sales.outbox_events";
    assert_eq!(world.database.count(outbox).await, 0);
    let started = browser.confirm(&plan).await;
    let page = finished(&browser, started.location()).await.body;
    assert!(page.contains("1 events were put into the outbox"), "{page}");
    assert_eq!(world.database.count(outbox).await, 1);
    let listed = browser.get("/verify").await.body;
    assert!(listed.contains("plan repair") && listed.contains("3 violations"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_without_a_selection_or_with_a_foreign_form_does_not_begin() {
    let world = World::create().await;
    let browser = Browser::signed_in(&world).await;
    let page = browser.get("/verify").await;
    let (token, request) = (page.field("formToken"), page.field("request"));
    let since = page.field("since");
    for (token, what, since, order, status) in [
        ("guessed", "verify", since.as_str(), "", StatusCode::FORBIDDEN),
        (&token, "verify", "", "", StatusCode::BAD_REQUEST),
        (&token, "verify", "yesterday", "", StatusCode::BAD_REQUEST),
        (&token, "verify", &since, "17", StatusCode::BAD_REQUEST),
        (&token, "repair", &since, "", StatusCode::BAD_REQUEST),
        (&token, "destroy", &since, "", StatusCode::BAD_REQUEST),
    ] {
        let form = [
            ("formToken", token),
            ("request", &request),
            ("what", what),
            ("since", since),
            ("order", order),
        ];
        let page = browser.post("/verify", &form).await;
        assert_eq!(page.status, status, "{what} {since} {order}: {}", page.body);
    }
    assert_eq!(world.database.count("SELECT count(*) FROM sales.operator_actions").await, 0);
}
