//! Outages of Kafka and PostgreSQL: their processes are stopped and started again.

use std::time::Duration;

use store::{Database, DatabaseSettings, DatabaseUrl, StoreError};
use system_tests::System;
use test_kit::{
    PrivateStack, Running, World, eventually, eventually_within, get_json, is_ready, metrics,
};

/// On a busy machine the Kafka client reports errors slowly.
const ERRORS_TIMEOUT: Duration = Duration::from_mins(5);

/// The background services, with the management port of delivery-service.
struct Background {
    running: [Running; 3],
    delivery_port: u16,
}

fn start_background(system: &System) -> Background {
    let relay = system.start_relay();
    let (delivery, delivery_port) = system.world.start_with_port(delivery_service::build);
    Background { running: [relay, delivery, system.start_status()], delivery_port }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_accepted_during_a_kafka_outage_and_delivered_after_it() {
    let stack = PrivateStack::start("test-kafka-away");
    let mut world = World::create_on(stack.addresses()).await;
    world.set("KAFKA_PUBLISH_TIMEOUT", 1000);
    let system = System::start_in(world);
    let background = start_background(&system);
    system.deliver(2).await;

    stack.stop("kafka");
    let delivered = async || {
        system
            .world
            .database
            .count("SELECT count(*) FROM sales.orders WHERE status = 'Delivered'")
            .await
    };
    let demo = ["--orders", "10", "--cancel", "0", "--time-limit", "200"];
    let (demo, ()) = tokio::join!(system.demo(&demo), async {
        let accepted = "SELECT count(*) FROM sales.outbox_events";
        system.world.database.until_count("all are accepted", accepted, 10).await;
        // Long enough for the client to be removed from the group, and to queue errors if the
        // consumer did not read them.
        let errors =
            format!("consumer_errors_total{{topic=\"{}\"}}", system.world.topics.order_events);
        eventually_within(ERRORS_TIMEOUT, "25 consumer errors are counted", async || {
            let metrics = metrics(background.delivery_port).await;
            let count = metrics
                .lines()
                .find_map(|line| line.strip_prefix(&errors)?.trim().parse::<u32>().ok());
            (count? >= 25).then_some(())
        })
        .await;
        eventually("not ready", async || (!is_ready(background.delivery_port).await).then_some(()))
            .await;
        stack.start_again("kafka");
        eventually("all are delivered", async || (delivered().await == 12).then_some(())).await;
    });
    assert!(demo.0, "{}", demo.1);
    let blamed = "SELECT count(*) FROM sales.outbox_dead_letters";
    assert_eq!(system.world.database.count(blamed).await, 0);
    assert!(background.running.iter().all(Running::is_alive));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_in_time_when_kafka_is_down_with_uncommitted_offsets() {
    let stack = PrivateStack::start("test-kafka-gone");
    let system = System::start_in(World::create_on(stack.addresses()).await);
    let background = start_background(&system);
    // Enough orders that some are in progress when Kafka is killed.
    let (_, ()) = tokio::join!(system.demo(&["--orders", "2000", "--time-limit", "15"]), async {
        let moved = "SELECT count(*) FROM sales.orders WHERE status <> 'Pending Shipment'";
        eventually("orders are shipped", async || {
            (system.world.database.count(moved).await > 20).then_some(())
        })
        .await;
        stack.kill("kafka");
    });
    for service in background.running {
        // `stop` panics unless the service ends within SHUTDOWN_TIMEOUT.
        service.stop().await;
    }
}

/// A system on its own stack that has delivered two orders.
async fn delivering(name: &'static str) -> (PrivateStack, System, Background) {
    let stack = PrivateStack::start(name);
    let system = System::start_in(World::create_on(stack.addresses()).await);
    let background = start_background(&system);
    system.deliver(2).await;
    (stack, system, background)
}

#[tokio::test(flavor = "multi_thread")]
async fn services_survive_a_postgres_outage() {
    let (stack, system, background) = delivering("test-postgres-away").await;

    stack.stop("postgres");
    eventually("not ready", async || (!is_ready(background.delivery_port).await).then_some(()))
        .await;
    let api = &system.world.variables()["API_URL"];
    let health = reqwest::get(format!("{api}/health")).await.unwrap();
    assert_eq!(health.status().as_u16(), 503);
    stack.start_again("postgres");
    system.deliver(5).await;
    assert!(background.running.iter().all(Running::is_alive));
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_not_ready_and_survive_while_postgres_is_read_only() {
    let (_stack, system, background) = delivering("test-postgres-read-only").await;

    let primary = World::create().await;
    let user = "CREATE ROLE failover LOGIN PASSWORD 'failover'";
    for world in [&system.world, &primary] {
        world.database.execute(user).await;
    }
    // The old primary is read-only, as after a failover.
    let demoted = &system.world.database;
    demoted.execute("ALTER SYSTEM SET default_transaction_read_only = on").await;
    demoted.execute("SELECT pg_reload_conf()").await;
    eventually_within(Duration::from_secs(10), "not ready", async || {
        (!is_ready(background.delivery_port).await).then_some(())
    })
    .await;
    let (_, readiness) = get_json(background.delivery_port, "readyz").await;
    let reason = readiness["reasons"]["postgres"].as_str().unwrap();
    assert!(reason.ends_with("is read-only"), "{reason}");
    let api = &system.world.variables()["API_URL"];
    let health = reqwest::get(format!("{api}/health")).await.unwrap();
    assert_eq!(health.status().as_u16(), 503);
    check_that_the_writable_host_is_selected(&system.world, &primary).await;

    demoted.execute("ALTER SYSTEM RESET default_transaction_read_only").await;
    demoted.execute("SELECT pg_reload_conf()").await;
    system.deliver(5).await;
    assert!(background.running.iter().all(Running::is_alive));
    primary.database.execute("DROP ROLE failover").await;
}

/// The user that exists on both servers.
const CREDENTIALS: &str = "postgres://failover:failover";

async fn check_that_the_writable_host_is_selected(demoted: &World, primary: &World) {
    let host = |world: &World| {
        let url = world.database.url();
        let (server, _) = url.rsplit_once('/').unwrap();
        server.rsplit_once('@').unwrap().1.to_owned()
    };
    let both = format!("{CREDENTIALS}@{},{}/postgres", host(demoted), host(primary));
    let ping = async |url: String| {
        let database_url = DatabaseUrl::parse(&url).unwrap();
        let settings = DatabaseSettings { database_url, ..primary.config() };
        Database::new("test", &settings).ping().await
    };
    // Without target_session_attrs, the client uses the first host.
    let refused = ping(both.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused:?}");
    ping(format!("{both}?target_session_attrs=read-write")).await.unwrap();
}
