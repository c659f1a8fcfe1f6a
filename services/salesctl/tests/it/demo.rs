use test_kit::{World, eventually, read_all};

use crate::system::{System, salesctl};

#[tokio::test(flavor = "multi_thread")]
async fn demo_orders_reach_delivered() {
    let system = System::start().await;
    let services = [system.start_relay(), system.start_delivery(), system.start_status()];
    let (success, report) = system.demo(&["--orders", "10"]).await;
    assert!(success, "{report}");
    assert_eq!((&report["placed"], &report["delivered"]), (&10.into(), &10.into()));
    assert_eq!(report["steps"].as_array().unwrap().len(), 4);
    assert!(
        report["steps"].as_array().unwrap().iter().all(|step| step["p50Ms"].is_number()),
        "{report}"
    );
    for service in services {
        service.stop().await;
    }
    let topics = &system.world.topics;
    assert_eq!(read_all(&system.world.stack, &topics.order_events).await.len(), 10);
    assert_eq!(read_all(&system.world.stack, &topics.delivery_events).await.len(), 20);
    assert_eq!(system.world.database.count("SELECT count(*) FROM sales.outbox_events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undelivered_order_is_reported_with_its_last_status() {
    let system = System::start().await;
    let _relay = system.start_relay();
    let (success, report) = system.demo(&["--orders", "2", "--time-limit", "1"]).await;
    assert!(!success);
    assert_eq!(report["delivered"], 0);
    let missing = report["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 2);
    assert_eq!(missing[0]["stoppedAt"], "Pending Shipment");
    assert!(missing[0]["lookAt"].as_str().unwrap().contains("delivery-service"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_every_background_service_loses_and_duplicates_nothing() {
    let mut system = System::start().await;
    system.world.set("OUTBOX_LEASE", 3000).set("KAFKA_PUBLISH_TIMEOUT", 500);
    system
        .world
        .set("DELIVERY_LEASE", 2500)
        .set("DELIVERY_MIN_DELAY", 200)
        .set("DELIVERY_MAX_DELAY", 600);
    let (relay, delivery, status) =
        (system.start_relay(), system.start_delivery(), system.start_status());
    let following = system.demo(&["--orders", "30"]);
    let faults = async {
        let seen = async |what: &str, query: &str| {
            eventually(what, async || (system.world.database.count(query).await > 0).then_some(()))
                .await;
        };
        seen("orders are placed", "SELECT count(*) FROM sales.orders").await;
        relay.abort();
        let relay = system.start_relay();
        seen(
            "a shipment is on its way",
            "SELECT count(*) FROM delivery.shipments WHERE state = 'Shipped'",
        )
        .await;
        delivery.abort();
        status.abort();
        (relay, system.start_delivery(), system.start_status())
    };
    let ((success, report), _services) = tokio::join!(following, faults);
    assert!(success, "{report}");
    let histories = "SELECT count(*) FROM (
        SELECT order_id FROM sales.order_status_history GROUP BY order_id HAVING count(*) = 3) whole";
    assert_eq!(system.world.database.count(histories).await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_api_is_reported_once() {
    let mut world = World::create().await;
    // Nothing listens there.
    world.set("API_URL", "http://127.0.0.1:1");
    let output = salesctl(&world, &["demo", "--wait", "1"]).await;
    assert_eq!(output.status.code(), Some(1));
    let report = String::from_utf8(output.stderr).unwrap();
    assert_eq!(report.matches("unavailable, waiting for it").count(), 1, "{report}");
    assert_eq!(report.matches("error: the request to the sales API failed").count(), 1, "{report}");
}
