use serde_json::{Value, json};
use system_tests::{System, answer, bench, salesctl, stop_all};
use test_kit::World;

async fn accepted(system: &System, customer: &str) -> String {
    let order = ["orders", "create", "--customer", customer, "--item", "widget:1:9.99"];
    let created = system.salesctl(&order).await.succeeded();
    created.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_listed_newest_first_over_all_pages() {
    let system = System::start().await;
    // More than one page of the API.
    bench(&system.world, &["seed", "--yes", "--delivered", "130"]).await.succeeded();
    let mut placed = Vec::new();
    for _ in 0..3 {
        placed.push(accepted(&system, "carol").await);
    }
    placed.reverse();
    let listed = async |arguments: &[&str]| {
        let orders = answer(&system.world, &[&["orders", "list"], arguments].concat()).await;
        let orders = orders.as_array().unwrap();
        orders.iter().map(|order| order["orderId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = listed(&["--all"]).await;
    assert_eq!((all.len(), &all[..3]), (133, &placed[..]));
    assert!(all.is_sorted_by(|newer, older| newer > older));
    assert_eq!(listed(&[]).await, all[..20]);
    assert_eq!(listed(&["--limit", "110"]).await, all[..110]);
    assert_eq!(listed(&["--customer", "carol"]).await, placed);
    assert_eq!(listed(&["--status", "Pending Shipment"]).await, placed);
    assert_eq!(listed(&["--status", "Delivered", "--all"]).await, all[3..]);

    let output = system.salesctl(&["orders", "list", "--customer", "carol"]).await.succeeded();
    let line = output.lines().next().unwrap();
    for part in [&placed[0], "Pending Shipment", "9.99 EUR", "carol"] {
        assert!(line.contains(part), "{line}");
    }
    let both = ["--status", "Pending Shipment", "--status", "Delivered", "--all"];
    assert_eq!(listed(&both).await, all);
    let oldest = listed(&["--oldest-first", "--limit", "110"]).await;
    assert!(oldest.iter().eq(all.iter().rev().take(110)));
    system.salesctl(&["orders", "list", "--status", "Unknown"]).await.failed(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_has_a_reference_and_a_currency() {
    let system = System::start().await;
    let create = ["orders", "create", "--item", "widget:1:9.99", "--currency", "EUR"];
    let created =
        system.salesctl(&[&create[..], &["--reference", "N 1"]].concat()).await.succeeded();
    let order = created.split_whitespace().next().unwrap();
    accepted(&system, "carol").await;
    let shown = system.salesctl(&["orders", "show", order]).await.succeeded();
    for part in ["9.99 EUR", "owner demo", "reference N 1"] {
        assert!(shown.contains(part), "{shown}");
    }
    let listed = system.salesctl(&["orders", "list", "--reference", "N 1"]).await.succeeded();
    assert_eq!(listed.lines().count(), 1);
    assert!(listed.contains(order) && listed.ends_with("N 1\n"), "{listed}");

    let unknown = ["orders", "create", "--item", "widget:1:9.99", "--currency", "XXX"];
    let report = system.salesctl(&unknown).await.failed(1);
    assert!(report.contains("/currency must be one of: EUR"), "{report}");
}

/// The lines of `orders follow --json`, without the times.
fn changes(lines: &str) -> Vec<(String, String)> {
    let change = |line: &str| {
        let mut change: Value = serde_json::from_str(line).unwrap();
        assert!(change["at"].take().as_str().unwrap().ends_with('Z'));
        let part = |name: &str| change[name].as_str().unwrap().to_owned();
        (part("orderId"), part("status"))
    };
    lines.lines().map(change).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_follow_prints_each_status_change_once() {
    let mut system = System::start().await;
    // The delay is long enough for `follow` to see each step separately.
    system.world.set("DELIVERY_MIN_DELAY", 300).set("DELIVERY_MAX_DELAY", 600);
    let orders = [accepted(&system, "carol").await, accepted(&system, "carol").await];
    let _services = system.start_background();
    let follow = ["orders", "follow", "--json", &orders[0], &orders[1]];
    let told = changes(&system.salesctl(&follow).await.succeeded());
    assert_eq!(told.len(), 6, "{told:?}");
    for order in &orders {
        let statuses: Vec<_> =
            told.iter().filter(|(id, _)| id == order).map(|(_, status)| status.as_str()).collect();
        assert_eq!(statuses, ["Pending Shipment", "Shipped", "Delivered"]);
    }
    // A delivered order gets its whole history printed.
    let late = system.salesctl(&["orders", "follow", &orders[0]]).await;
    assert_eq!(late.stdout.lines().count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_follow_exits_with_code_1_after_its_timeout() {
    let system = System::start().await;
    let order = accepted(&system, "carol").await;
    let follow = ["orders", "follow", "--json", "--timeout", "2", &order];
    let outcome = system.salesctl(&follow).await;
    assert_eq!(changes(&outcome.stdout), [(order.clone(), "Pending Shipment".to_owned())]);
    let report = outcome.failed(1);
    let expected = format!(
        "{order} was not Delivered or Cancelled within 2 s; its last status is Pending Shipment"
    );
    assert!(report.contains(&expected), "{report}");

    let unknown = "0199c0de-0000-7000-8000-000000000000";
    let report = system.salesctl(&["orders", "follow", unknown]).await.failed(1);
    assert!(report.contains("ORDER_NOT_FOUND") && report.contains(unknown), "{report}");
    system.salesctl(&["orders", "follow"]).await.failed(2);
    let listed = answer(&system.world, &["orders", "list", "--customer", "unknown"]).await;
    assert_eq!(listed, json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_follow_reports_an_unavailable_api() {
    let mut world = World::create().await;
    // Nothing listens there.
    world.set("API_URL", "http://127.0.0.1:1");
    let order = "0199c0de-0000-7000-8000-000000000000";
    let report = salesctl(&world, &["orders", "follow", "--wait", "1", order]).await.failed(1);
    assert!(report.contains("the request to the sales API failed"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_cancel_waits_for_the_decision() {
    let mut system = System::start().await;
    system.world.set("DELIVERY_MIN_DELAY", 3_600_000).set("DELIVERY_MAX_DELAY", 3_600_000);
    system.world.set("OPERATOR", "olivia");
    let order = accepted(&system, "carol").await;
    // No service decides yet.
    let undecided = system.salesctl(&["orders", "cancel", "--timeout", "1", &order]).await;
    assert!(undecided.stdout.contains("not decided yet"), "{}", undecided.stdout);
    assert!(undecided.failed(1).contains("the request was not decided within 1 s"));

    let services = system.start_background();
    let cancel = ["orders", "cancel", &order, "--reason", "ordered twice"];
    let text = system.salesctl(&cancel).await.succeeded();
    assert!(text.starts_with(&format!("{order}  Cancelled")), "{text}");
    let shown = system.salesctl(&["orders", "show", &order]).await.succeeded();
    // The first request counts, which had no reason.
    assert!(shown.contains("cancellation requested by olivia (cancelled)"), "{shown}");
    let listed = answer(&system.world, &["orders", "list", "--status", "Cancelled"]).await;
    assert_eq!(listed[0]["orderId"], order);
    let recorded = answer(&system.world, &["audit", "--subject", "olivia"]).await;
    assert_eq!(recorded.as_array().unwrap().len(), 2);
    stop_all(services).await;

    system.world.set("DELIVERY_MIN_DELAY", 0).set("DELIVERY_MAX_DELAY", 0);
    let _services = system.start_background();
    let order = accepted(&system, "carol").await;
    system.salesctl(&["orders", "follow", &order]).await.succeeded();
    let late = system.salesctl(&["orders", "cancel", &order]).await.failed(1);
    assert!(late.contains("ALREADY_SHIPPED"), "{late}");
}
