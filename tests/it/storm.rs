//! Background services are killed or aborted, and replaced, under load.

use system_tests::{System, answer, bench};
use test_kit::{Process, World, eventually};

/// All instances. Each service has more than one, so that others take over the work.
const INSTANCES: [&str; 7] = [
    "outbox-relay",
    "status-consumer",
    "delivery-service",
    "status-consumer",
    "outbox-relay",
    "delivery-service",
    "status-consumer",
];
const ORDERS: i64 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn killing_and_replacing_instances_under_load_breaks_no_invariant() {
    let mut world = World::create().await;
    world.set("OUTBOX_LEASE", 3000).set("KAFKA_PUBLISH_TIMEOUT", 500);
    world.set("DELIVERY_LEASE", 3000).set("DELIVERY_MAX_DELAY", 500);
    let system = System::start_in(world);
    let world = &system.world;
    let mut instances = Vec::new();
    for service in INSTANCES {
        instances.push((service, Process::start(service, world).await));
    }
    let load = ["load", "--rate=20", "--duration=20", "--repeat-percent=10"];
    let load = bench(world, &load);
    let storm = async {
        // Kills each instance at least once, at moments given by the progress of the orders.
        for placed in (20..ORDERS * 9 / 10).step_by(45) {
            eventually("more orders are placed", async || {
                (count(world, "sales.orders").await >= placed).then_some(())
            })
            .await;
            let (service, instance) = instances.remove(0);
            instance.kill();
            instances.push((service, Process::start(service, world).await));
        }
    };
    let (load, ()) = tokio::join!(load, storm);
    load.succeeded();

    let undelivered = "SELECT count(*) FROM sales.orders WHERE status <> 'Delivered'";
    world.database.until_count("every order is delivered", undelivered, 0).await;
    assert_eq!(count(world, "sales.orders").await, ORDERS * 9 / 10);
    // Events that a kill left unowned are published.
    let waiting = "SELECT count(*) FROM sales.outbox_events";
    world.database.until_count("the outbox is empty", waiting, 0).await;
    let verdict = answer(world, &["verify", "--drained"]).await;
    assert_eq!(verdict["orders"]["delivered"], ORDERS * 9 / 10, "{verdict:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn restarting_every_background_service_loses_and_duplicates_nothing() {
    let mut system = System::start().await;
    system.world.set("OUTBOX_LEASE", 3000).set("KAFKA_PUBLISH_TIMEOUT", 500);
    system
        .world
        .set("DELIVERY_LEASE", 3000)
        .set("DELIVERY_MIN_DELAY", 200)
        .set("DELIVERY_MAX_DELAY", 600);
    let (relay, delivery, status) =
        (system.start_relay(), system.start_delivery(), system.start_status());
    let following = system.demo(&["--orders", "30", "--cancel", "0"]);
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

async fn count(world: &World, of: &str) -> i64 {
    world.database.count(&format!("SELECT count(*) FROM {of}")).await
}
