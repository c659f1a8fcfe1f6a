use std::time::{SystemTime, UNIX_EPOCH};

use test_kit::{Process, World, eventually, metrics};

const BINARY: &str = env!("CARGO_BIN_EXE_delivery-service");

#[tokio::test(flavor = "multi_thread")]
async fn the_last_observation_time_stays_unchanged_during_a_database_outage() {
    let mut world = World::create().await;
    let proxy = world.proxy_database().await;
    let service = Process::start(BINARY, &world).await;
    let seconds_ago = async || {
        let text = metrics(service.management_port()).await;
        let name = "queue_observed_timestamp_seconds{queue=\"shipments\"} ";
        let looked: f64 = text.lines().find_map(|line| line.strip_prefix(name))?.parse().unwrap();
        Some(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() - looked)
    };
    eventually("the shipments are observed", async || (seconds_ago().await? < 6.0).then_some(()))
        .await;
    proxy.cut();
    eventually("the last observation is old", async || (seconds_ago().await? > 10.0).then_some(()))
        .await;
    proxy.heal();
    eventually("the shipments are observed again", async || {
        (seconds_ago().await? < 6.0).then_some(())
    })
    .await;
}
