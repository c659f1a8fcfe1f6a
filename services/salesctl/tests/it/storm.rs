//! Members of every service are killed and replaced, again and again, while orders are placed.

use std::path::Path;

use serde_json::Value;
use test_kit::{Process, World, eventually};

use crate::system::{System, answer};

/// Every member that there is. More than one of each, so that work changes hands.
const MEMBERS: [&str; 7] = [
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
async fn members_that_are_killed_and_replaced_under_load_break_no_invariant() {
    let mut world = World::create().await;
    world.set("OUTBOX_LEASE", 3000).set("KAFKA_PUBLISH_TIMEOUT", 500);
    world.set("DELIVERY_LEASE", 2500).set("DELIVERY_MAX_DELAY", 500);
    let system = System::start_in(world);
    let world = &system.world;
    let mut members = Vec::new();
    for service in MEMBERS {
        members.push((service, start(service, world).await));
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
        // Each member at least once, at moments that the progress of the orders sets.
        for placed in (20..ORDERS * 9 / 10).step_by(45) {
            eventually("more orders are placed", async || {
                (count(world, "sales.orders").await >= placed).then_some(())
            })
            .await;
            let (service, member) = members.remove(0);
            member.kill();
            members.push((service, start(service, world).await));
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
    // What a kill has left in the hands of nobody is found, and nothing is to be found twice.
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

/// `make test` builds the binaries of all packages, beside that of this one.
async fn start(service: &str, world: &World) -> Process {
    let binary = Path::new(env!("CARGO_BIN_EXE_salesctl")).with_file_name(service);
    Process::start(binary.to_str().unwrap(), world).await
}
