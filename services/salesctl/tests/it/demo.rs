use test_kit::{World, read_all};

use system_tests::{System, salesctl, stop_all};

#[tokio::test(flavor = "multi_thread")]
async fn demo_orders_reach_delivered() {
    let system = System::start().await;
    let services = system.start_background();
    let report = system.deliver(10).await;
    assert_eq!((&report["placed"], &report["delivered"]), (&10.into(), &10.into()));
    assert_eq!(report["cancelled"], 0);
    let steps = report["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5);
    assert!(steps[..4].iter().all(|step| step["p50Ms"].is_number()), "{report}");
    stop_all(services).await;
    let topics = &system.world.topics;
    assert_eq!(read_all(&system.world.stack, &topics.order_events).await.len(), 10);
    assert_eq!(read_all(&system.world.stack, &topics.delivery_events).await.len(), 20);
    assert_eq!(system.world.database.count("SELECT count(*) FROM sales.outbox_events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_order_of_the_demo_is_cancelled() {
    let mut system = System::start().await;
    system.world.set("DELIVERY_MIN_DELAY", 2000).set("DELIVERY_MAX_DELAY", 2000);
    let _services = system.start_background();
    let (success, report) = system.demo(&["--orders", "3"]).await;
    assert!(success, "{report}");
    assert_eq!((&report["delivered"], &report["cancelled"]), (&2.into(), &1.into()));
    assert!(report["steps"][4]["p50Ms"].is_number(), "{report}");
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
async fn an_unavailable_api_is_reported_once() {
    let mut world = World::create().await;
    // Nothing listens there.
    world.set("API_URL", "http://127.0.0.1:1");
    let report = salesctl(&world, &["demo", "--wait", "1"]).await.failed(1);
    assert_eq!(report.matches("unavailable, waiting for it").count(), 1, "{report}");
    assert_eq!(report.matches("error: the request to the sales API failed").count(), 1, "{report}");
}
