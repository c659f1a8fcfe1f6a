use std::collections::BTreeMap;
use std::time::Duration;

use delivery_service::build;
use domain::OrderId;
use test_kit::{Group, PlainRecord, Process, World, eventually_within, produce_all, read_all};
use uuid::Uuid;

use crate::shop::{created, delivered, reported};

const BINARY: &str = env!("CARGO_BIN_EXE_delivery-service");

async fn announce_all(world: &World, count: usize) {
    let records: Vec<PlainRecord> = (0..count).map(|_| created(OrderId::generate())).collect();
    produce_all(&world.stack, &world.topics.order_events, &records).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_dispatch_each_step_once() {
    let mut world = World::create().await;
    // All are due at about the same time, so that the replicas compete for them.
    world.set("DELIVERY_MIN_DELAY", 200).set("DELIVERY_MAX_DELAY", 200);
    let group = Group::new(&world.stack, &world.topics.delivery_group, &world.topics.order_events);
    let replicas = [world.start(build), world.start(build)];
    group.until_settled(2).await;
    announce_all(&world, 400).await;
    delivered(&world, 400).await;
    for replica in replicas {
        replica.stop().await;
    }
    let reported = reported(&world).await;
    assert_eq!(reported.len(), 800);
    let mut ids: Vec<Uuid> = reported.iter().map(|event| event.attributes.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 800);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_delivered_once_despite_kills() {
    let mut world = World::create().await;
    world
        .set("DELIVERY_MIN_DELAY", 0)
        .set("DELIVERY_MAX_DELAY", 400)
        .set("KAFKA_PUBLISH_TIMEOUT", 500)
        .set("DELIVERY_LEASE", 3000)
        // Static membership: a restarted instance gets its partitions back at once.
        .set("CONSUMER_INSTANCE", "the one");
    let (kills, orders) = (8, 50);
    for kill in 0..kills {
        let process = Process::start(BINARY, &world).await;
        announce_all(&world, orders).await;
        // Each kill comes at a different point, while steps are in progress.
        let some = "SELECT count(*) FROM delivery.shipments WHERE state = 'Delivered'";
        let reach = i64::from(kill) * 7;
        eventually_within(Duration::from_secs(30), "some steps are done", async || {
            (world.database.count(some).await >= reach).then_some(())
        })
        .await;
        process.kill();
    }
    let last = Process::start(BINARY, &world).await;
    let all = i64::try_from(orders).unwrap() * i64::from(kills);
    delivered(&world, all).await;
    assert_eq!(last.terminate().await.code(), Some(0));

    assert_eq!(world.database.count("SELECT count(*) FROM delivery.shipments").await, all);
    // A step may have been published twice, as an identical record.
    let mut events = BTreeMap::new();
    for record in read_all(&world.stack, &world.topics.delivery_events).await {
        let id = record.header("ce_id").unwrap().to_vec();
        let first = events.entry(id).or_insert_with(|| record.clone());
        assert_eq!((&first.key, &first.value), (&record.key, &record.value));
        assert_eq!(first.headers, record.headers);
    }
    assert_eq!(events.len(), 2 * usize::try_from(all).unwrap());
    assert!(read_all(&world.stack, &world.topics.order_events_dlq()).await.is_empty());
}
