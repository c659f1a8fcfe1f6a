//! Real outages: the broker's and the database's processes are stopped and started again.

use std::time::Duration;

use store::{Database, DatabaseSettings, DatabaseUrl, StoreError};
use test_kit::{
    PrivateStack, Running, World, eventually, eventually_within, is_ready, metrics, told,
};

use crate::system::System;

/// On a busy machine the client meets its errors slowly.
const LONG_OUTAGE: Duration = Duration::from_mins(5);

/// The background services, with the management port of delivery-service.
struct Background {
    running: [Running; 3],
    delivery_port: u16,
}

fn start_background(system: &System) -> Background {
    let relay = system.start_relay();
    let delivery = delivery_service::Application::build(&system.world.config()).unwrap();
    let delivery_port = delivery.management_port().unwrap();
    let delivery = Running::start(|shutdown| delivery.run(shutdown));
    Background { running: [relay, delivery, system.start_status()], delivery_port }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_kafka_orders_are_accepted_and_arrive_once_it_is_back() {
    let stack = PrivateStack::start("test-kafka-away");
    let mut world = World::create_on(stack.addresses()).await;
    world.set("KAFKA_PUBLISH_TIMEOUT", 1000);
    let system = System::start_in(world);
    let background = start_background(&system);
    assert!(system.demo(&["--orders", "2"]).await.0);

    stack.stop("kafka");
    let delivered = async || {
        system
            .world
            .database
            .count("SELECT count(*) FROM sales.orders WHERE status = 'Delivered'")
            .await
    };
    let (demo, ()) = tokio::join!(system.demo(&["--orders", "10", "--time-limit", "200"]), async {
        let accepted = "SELECT count(*) FROM sales.outbox_events";
        eventually("all are accepted", async || {
            (system.world.database.count(accepted).await == 10).then_some(())
        })
        .await;
        // Long enough for the client to lose its place in the group, and to queue up errors if nobody took them.
        let errors =
            format!("consumer_errors_total{{topic=\"{}\"}}", system.world.topics.order_events);
        eventually_within(LONG_OUTAGE, "Kafka was missed many times", async || {
            let metrics = metrics(background.delivery_port).await;
            let count = metrics
                .lines()
                .find_map(|line| line.strip_prefix(&errors)?.trim().parse::<u32>().ok());
            (count? >= 25).then_some(())
        })
        .await;
        eventually("not ready", async || (!is_ready(background.delivery_port).await).then_some(()))
            .await;
        stack.bring_back("kafka");
        eventually("all arrive soon", async || (delivered().await == 12).then_some(())).await;
    });
    assert!(demo.0, "{}", demo.1);
    let blamed = "SELECT count(*) FROM sales.outbox_dead_letters";
    assert_eq!(system.world.database.count(blamed).await, 0);
    assert!(background.running.iter().all(Running::is_alive));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_in_time_though_kafka_went_away_with_its_offsets_uncommitted() {
    let stack = PrivateStack::start("test-kafka-gone");
    let system = System::start_in(World::create_on(stack.addresses()).await);
    let background = start_background(&system);
    // Enough of them that something is under way when Kafka goes.
    let (_, ()) = tokio::join!(system.demo(&["--orders", "2000", "--time-limit", "15"]), async {
        let moved = "SELECT count(*) FROM sales.orders WHERE status <> 'Pending Shipment'";
        eventually("orders are on their way", async || {
            (system.world.database.count(moved).await > 20).then_some(())
        })
        .await;
        stack.kill("kafka");
    });
    for service in background.running {
        // Fails unless it ends within SHUTDOWN_TIMEOUT.
        service.stop().await;
    }
}

/// A system on a stack of its own, that has delivered two orders.
async fn delivering(name: &'static str) -> (PrivateStack, System, Background) {
    let stack = PrivateStack::start(name);
    let system = System::start_in(World::create_on(stack.addresses()).await);
    let background = start_background(&system);
    assert!(system.demo(&["--orders", "2"]).await.0);
    (stack, system, background)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_postgres_nothing_ends_and_afterwards_all_goes_on() {
    let (stack, system, background) = delivering("test-postgres-away").await;

    stack.stop("postgres");
    eventually("not ready", async || (!is_ready(background.delivery_port).await).then_some(()))
        .await;
    let api = &system.world.variables()["API_URL"];
    let health = reqwest::get(format!("{api}/health")).await.unwrap();
    assert_eq!(health.status().as_u16(), 503);
    stack.bring_back("postgres");
    let (success, report) = system.demo(&["--orders", "5"]).await;
    assert!(success, "{report}");
    assert!(background.running.iter().all(Running::is_alive));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_postgres_takes_no_writes_nothing_is_ready_and_afterwards_all_goes_on() {
    let (_stack, system, background) = delivering("test-postgres-read-only").await;

    let primary = World::create().await;
    let user = "CREATE ROLE failover LOGIN PASSWORD 'failover'";
    for world in [&system.world, &primary] {
        world.database.execute(user).await;
    }
    // As it is after a failover.
    let demoted = &system.world.database;
    demoted.execute("ALTER SYSTEM SET default_transaction_read_only = on").await;
    demoted.execute("SELECT pg_reload_conf()").await;
    eventually_within(Duration::from_secs(10), "not ready", async || {
        (!is_ready(background.delivery_port).await).then_some(())
    })
    .await;
    let (_, readiness) = told(background.delivery_port, "readyz").await;
    let reason = readiness["reasons"]["postgres"].as_str().unwrap();
    assert!(reason.ends_with("takes no writes"), "{reason}");
    let api = &system.world.variables()["API_URL"];
    let health = reqwest::get(format!("{api}/health")).await.unwrap();
    assert_eq!(health.status().as_u16(), 503);
    the_one_that_takes_writes_is_found_among_two_hosts(&system.world, &primary).await;

    demoted.execute("ALTER SYSTEM RESET default_transaction_read_only").await;
    demoted.execute("SELECT pg_reload_conf()").await;
    let (success, report) = system.demo(&["--orders", "5"]).await;
    assert!(success, "{report}");
    assert!(background.running.iter().all(Running::is_alive));
    primary.database.execute("DROP ROLE failover").await;
}

/// As whom both servers know the same user.
const CREDENTIALS: &str = "postgres://failover:failover";

async fn the_one_that_takes_writes_is_found_among_two_hosts(demoted: &World, primary: &World) {
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
    // Without more said, the first one counts.
    let refused = ping(both.clone()).await.unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused:?}");
    ping(format!("{both}?target_session_attrs=read-write")).await.unwrap();
}
