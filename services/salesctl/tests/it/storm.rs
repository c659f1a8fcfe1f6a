//! Instances of the background services are repeatedly killed and replaced under load.

use std::path::Path;

use serde_json::Value;
use test_kit::{Process, World, eventually};

use crate::system::{System, answer};

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
    world.set("DELIVERY_LEASE", 2500).set("DELIVERY_MAX_DELAY", 500);
    let system = System::start_in(world);
    let world = &system.world;
    let mut instances = Vec::new();
    for service in INSTANCES {
        instances.push((service, start(service, world).await));
    }
    let load = system.salesctl(&[
        "load",
        "--rate",
        "20",
        "--duration",
        "20",
        "--repeat-percent",
        "10",
        "--json",
    ]);
    let storm = async {
        // Kills each instance at least once, at moments given by the progress of the orders.
        for placed in (20..ORDERS * 9 / 10).step_by(45) {
            eventually("more orders are placed", async || {
                (count(world, "sales.orders").await >= placed).then_some(())
            })
            .await;
            let (service, instance) = instances.remove(0);
            instance.kill();
            instances.push((service, start(service, world).await));
        }
    };
    let (load, ()) = tokio::join!(load, storm);
    let report: Value = serde_json::from_slice(&load.stdout).unwrap();
    assert!(load.status.success(), "{report}");

    eventually("every order is delivered", async || {
        (count(world, "sales.orders WHERE status <> 'Delivered'").await == 0).then_some(())
    })
    .await;
    assert_eq!(count(world, "sales.orders").await, ORDERS * 9 / 10);
    // Events that a kill left unowned are published.
    eventually("the outbox is empty", async || {
        (count(world, "sales.outbox_events").await == 0).then_some(())
    })
    .await;
    let verdict = answer(world, &["verify", "--drained"]).await;
    assert_eq!(verdict["orders"]["delivered"], ORDERS * 9 / 10, "{verdict:#}");
}

async fn count(world: &World, of: &str) -> i64 {
    world.database.count(&format!("SELECT count(*) FROM {of}")).await
}

/// `make test` builds the binaries of all packages into the directory of this one.
async fn start(service: &str, world: &World) -> Process {
    let binary = Path::new(env!("CARGO_BIN_EXE_salesctl")).with_file_name(service);
    Process::start(binary.to_str().unwrap(), world).await
}
